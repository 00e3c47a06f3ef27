/** `src/Recording` on two servers that restart in turn while devices record: nothing that was sent is lost or repeated. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { until, World } from "../Precache/support/Nodes.ts"
import { startBalancer } from "../support/Balancer.ts"
import { random } from "../support/Crash.ts"
import { Device } from "../support/Crash/Device.ts"
import { compareWithPlayed } from "../support/Crash/Played.ts"
import * as Postgres from "../support/Postgres.ts"

const devices = 6
/** Of each node. */
const restarts = 2

/** Chunks are stored late, so that a node does not know what the other one has in its journal. */
const world = World.layer({ SPILLWAY_CHUNK_DURATION: "4 seconds", SPILLWAY_PRECACHE: "requested" }).pipe(
  Layer.provide(Postgres.layerServer)
)

/** What a restart, and a connection that breaks before or after it has opened, mean for a client. */
const expected = [
  "draining",
  "The server closed the connection (1001: the server is stopping).",
  "The connection broke.",
  "socket hang up",
  "read ECONNRESET",
  "WebSocket was closed before the connection was established",
  "The server refused the connection.",
  // A client whose connection was refused asks for the reason, and that connection is cut or ends with its server, too.
  "The server can't be reached (other side closed).",
  "The server can't be reached (read ECONNRESET).",
  // The device alternates between its conversations, which takes another connection.
  "The conversation is selected again."
]

layer(world, { excludeTestServices: true, timeout: 300_000 })("a rolling restart", (it) => {
  it.effect("plays exactly what devices sent, which only reconnect", () =>
    World.use((nodes) =>
      Effect.promise(async () => {
        const next = random(20_261_130)
        const urls = new Map(nodes.servers.map(({ url }, node) => [node, url]))
        const balancer = await startBalancer(() => [...urls.values()])
        const key = nodes.servers[0]?.key ?? ""
        const recording = Array.from(
          { length: devices },
          (_, index) => new Device({ uid: `device-${index}`, url: balancer.url, key, next, hasRightClock: true })
        )
        let isOver = false
        const streaming = Promise.all(recording.map((device) => device.stream(() => isOver, 2)))
        streaming.catch(() => {})
        for (let restart = 0; restart < restarts * nodes.servers.length; restart++) {
          const node = restart % nodes.servers.length
          const server = nodes.servers[node] ?? assert.fail("it runs")
          // A new connection while the devices are on this node, too.
          const stopping = server.stop()
          const isReady = () =>
            fetch(`${server.url}/health/ready`).then(
              ({ ok }) => ok,
              () => false
            )
          await until(isReady, (ready) => !ready)
          urls.delete(node)
          assert.strictEqual(await stopping, 0)
          urls.set(node, (await nodes.restart(server)).url)
          // Some connections move back.
          for (let cut = 0; cut < devices / 2; cut++) balancer.cut(next())
          await new Promise((resolve) => setTimeout(resolve, 1_000 * next()))
        }
        isOver = true
        await streaming
        const ends = await Promise.all(recording.map((device) => device.close()))
        assert.deepStrictEqual(new Set(ends), new Set(["complete"]))
        const troubles = [...new Set(recording.flatMap(({ troubles }) => [...troubles]))]
        assert.deepStrictEqual(
          troubles.filter((trouble) => !expected.includes(trouble)),
          []
        )
        assert.include(troubles, "draining")
        // Audio in the journal of the other node is not played by this one.
        const [first, second] = nodes.servers
        assert.strictEqual(await second?.stop(), 0)
        const playback = await compareWithPlayed(first ?? assert.fail("it runs"), recording)
        assert.deepStrictEqual(playback.different, [])
        await balancer.stop()
      })
    )
  )
})
