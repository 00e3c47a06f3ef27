/** `src/Streams/Broadcasts` on two servers with one database: going live, coming back, and what remains of a node that was killed. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { type Nodes, until, World } from "../../Precache/support/Nodes.ts"
import { audioFrame, readAck, switchTo } from "../../support/Capturer.ts"
import { type CaptureSocket, openCaptureSocket } from "../../support/CaptureSocket.ts"
import * as Postgres from "../../support/Postgres.ts"
import type { Server } from "../../support/Server.ts"

const env = { STREAM_GRACE: "2 seconds", STREAM_HEARTBEAT: "200 millis", STREAM_SWEEP: "200 millis" }
const world = World.layer(env).pipe(Layer.provide(Postgres.layerServer))

const path = "/api/v1/studio/streams"
const start = 1_760_000_000
const second = (n: number) => audioFrame(start + n, Buffer.alloc(32_000, n + 1))

const api = async (server: Server, method: string, target: string, body?: object) => {
  const response = await fetch(server.url + target, {
    method,
    headers: { authorization: `Bearer ${server.key}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) })
  })
  return { status: response.status, body: JSON.parse((await response.text()) || "null") }
}

/** Its stream key. */
const create = async (server: Server, slug: string): Promise<string> =>
  (await api(server, "POST", path, { slug, title: slug })).body.key

const liveOf = async (server: Server, slug: string) => (await api(server, "GET", `${path}/${slug}`)).body.live

const open = (server: Server, key: string) => openCaptureSocket(server, { key, query: "?ack=1&audio_timeline=2" })

const conversationOf = async (socket: CaptureSocket): Promise<string> => {
  await socket.until((all) => all.some((message) => readAck(message) !== undefined))
  return socket.messages.flatMap((message) => readAck(message)?.conversation_id ?? []).at(-1) ?? ""
}

interface Told {
  readonly type: string
  readonly data: Readonly<Record<string, unknown>>
}

const events = async (nodes: Nodes, slug: string): Promise<ReadonlyArray<Told>> => {
  const rows = await nodes.query<{ readonly body: string }>(
    `select body from events where type like 'stream.%' order by id`
  )
  return rows.map(({ body }): Told => JSON.parse(body)).filter(({ data }) => data["slug"] === slug)
}

const types = async (nodes: Nodes, slug: string) => (await events(nodes, slug)).map(({ type }) => type)

const two = <A>(work: (nodes: Nodes, first: Server, second: Server) => Promise<A>) =>
  World.use((nodes) =>
    Effect.promise(async () => {
      const [first, second] = nodes.servers
      if (first === undefined || second === undefined) throw new Error("two run")
      return work(nodes, first, second)
    })
  )

layer(world, { excludeTestServices: true, timeout: 60_000 })("A stream", (it) => {
  it.effect("goes live with its first audio, comes back on any node within the grace, and ends once after it", () =>
    two(async (nodes, first, other) => {
      await api(first, "POST", "/v1/webhook-listeners", { types: ["stream.started", "stream.ended"] })
      const key = await create(first, "comes-back")
      const one = await open(first, key)
      assert.isNull(await liveOf(other, "comes-back"))
      one.socket.send(second(0))
      const conversation = await conversationOf(one)
      const live = await until(
        () => liveOf(other, "comes-back"),
        (found) => found !== null
      )
      assert.deepInclude(live, { broadcast: 1, conversation_id: conversation, reconnecting: false })
      one.socket.close()
      await one.closed
      await until(
        () => liveOf(other, "comes-back"),
        (found) => found?.reconnecting === true
      )
      const two = await open(other, key)
      two.socket.send(second(1))
      assert.strictEqual(await conversationOf(two), conversation)
      await until(
        () => liveOf(first, "comes-back"),
        (found) => found?.reconnecting === false
      )
      assert.strictEqual((await liveOf(first, "comes-back")).broadcast, 1)
      two.socket.close()
      await two.closed
      await until(
        () => liveOf(first, "comes-back"),
        (found) => found === null
      )
      const [started, ended] = await events(nodes, "comes-back")
      assert.deepStrictEqual(await types(nodes, "comes-back"), ["stream.started", "stream.ended"])
      assert.deepInclude(started?.data, { uid: "admin", broadcast: 1, conversation_id: conversation })
      assert.strictEqual(ended?.data["started_at"], live.started_at)
      const finished = () => api(first, "GET", `/v1/conversations/${conversation}`)
      await until(finished, ({ body }) => body.finished_at !== null)
      const again = await open(first, key)
      again.socket.send(second(2))
      const next = await until(
        () => liveOf(first, "comes-back"),
        (found) => found !== null
      )
      assert.strictEqual(next.broadcast, 2)
      assert.notStrictEqual(next.conversation_id, conversation)
      again.socket.close()
    })
  )

  it.effect("is fed by the capture that connected last, on whichever node", () =>
    two(async (nodes, first, other) => {
      const key = await create(first, "one-at-a-time")
      const one = await open(first, key)
      one.socket.send(switchTo("the-one"))
      one.socket.send(second(0))
      await until(
        () => liveOf(first, "one-at-a-time"),
        (found) => found?.conversation_id === "the-one"
      )
      const two = await open(other, key)
      two.socket.send(second(1))
      assert.strictEqual(await conversationOf(two), "the-one")
      assert.deepStrictEqual(await one.closed, {
        code: 1008,
        reason: "another capture with this stream key is live now"
      })
      const three = await open(other, key)
      three.socket.send(second(2))
      assert.strictEqual((await two.closed).code, 1008)
      assert.deepInclude(await liveOf(first, "one-at-a-time"), { broadcast: 1, reconnecting: false })
      three.socket.send(switchTo("the-next"))
      three.socket.send(second(3))
      await until(
        () => liveOf(first, "one-at-a-time"),
        (found) => found?.conversation_id === "the-next"
      )
      assert.deepStrictEqual(await types(nodes, "one-at-a-time"), ["stream.started", "stream.ended", "stream.started"])
      three.socket.close()
    })
  )

  it.effect("stays with the conversation that began last, when captures on two nodes choose their own", () =>
    two(async (nodes, first, other) => {
      const key = await create(first, "two-talks")
      const one = await open(first, key)
      one.socket.send(switchTo("talk-one"))
      one.socket.send(second(0))
      await until(
        () => liveOf(first, "two-talks"),
        (found) => found?.conversation_id === "talk-one"
      )
      const two = await open(other, key)
      two.socket.send(switchTo("talk-two"))
      two.socket.send(second(1))
      assert.deepStrictEqual(await one.closed, {
        code: 1008,
        reason: "another capture with this stream key is live now"
      })
      assert.deepInclude(await liveOf(first, "two-talks"), { broadcast: 2, conversation_id: "talk-two" })
      assert.deepStrictEqual(await types(nodes, "two-talks"), ["stream.started", "stream.ended", "stream.started"])
      two.socket.close()
    })
  )

  it.effect("is ended by its owner at once, on any node, and lives again when its capture connects again", () =>
    two(async (nodes, first, other) => {
      const key = await create(first, "is-ended")
      const end = (server: Server) => api(server, "POST", `${path}/is-ended/end`)
      assert.deepInclude((await end(first)).body, { slug: "is-ended", live: null })
      const one = await open(first, key)
      one.socket.send(second(0))
      const conversation = await conversationOf(one)
      await until(
        () => liveOf(first, "is-ended"),
        (found) => found !== null
      )
      const told = { code: 1008, reason: "the broadcast was ended; connect again for the next one" }
      const ended = await end(first)
      assert.deepStrictEqual([ended.status, ended.body.live], [200, null])
      assert.deepStrictEqual(await one.closed, told)
      assert.isNull(await liveOf(other, "is-ended"))
      const two = await open(first, key)
      two.socket.send(switchTo(conversation))
      two.socket.send(second(1))
      await until(
        () => liveOf(first, "is-ended"),
        (found) => found?.broadcast === 2
      )
      assert.isNull((await end(other)).body.live)
      assert.deepStrictEqual(await two.closed, told)
      assert.isNull((await end(other)).body.live)
      const all = await events(nodes, "is-ended")
      assert.deepStrictEqual(
        all.map(({ data, type }) => [type, data["broadcast"]]),
        [
          ["stream.started", 1],
          ["stream.ended", 1],
          ["stream.started", 2],
          ["stream.ended", 2]
        ]
      )
      assert.strictEqual((await api(first, "POST", `${path}/not-there/end`)).status, 404)
      const stranger = await fetch(`${first.url}${path}/is-ended/end`, { method: "POST" })
      assert.strictEqual(stranger.status, 401)
      const vods = () => api(first, "GET", "/api/v1/studio/vods?page_size=100")
      await until(
        vods,
        ({ body }) => body.vods.filter((vod: { stream: string }) => vod.stream === "is-ended").length === 2
      )
    })
  )

  it.effect("takes no audio with a key that was replaced, from now on", () =>
    two(async (nodes, first, other) => {
      const key = await create(first, "rotates")
      const [here, there] = [await open(first, key), await open(other, key)]
      there.socket.send(second(0))
      await until(
        () => liveOf(first, "rotates"),
        (found) => found !== null
      )
      const { body } = await api(first, "POST", `${path}/rotates/key`)
      assert.notStrictEqual(body.key, key)
      const revoked = { code: 1008, reason: "the stream key is no longer valid" }
      assert.deepStrictEqual(await here.closed, revoked)
      assert.deepStrictEqual(await there.closed, revoked)
      assert.strictEqual((await open(first, key)).status, 401)
      const back = await open(first, body.key)
      back.socket.send(second(1))
      await until(
        () => liveOf(first, "rotates"),
        (found) => found?.reconnecting === false
      )
      assert.strictEqual((await liveOf(first, "rotates")).broadcast, 1)
      assert.strictEqual((await api(first, "DELETE", `${path}/rotates`)).status, 204)
      assert.deepStrictEqual(await back.closed, revoked)
      assert.strictEqual((await open(other, body.key)).status, 401)
      await create(first, "never-live")
      assert.strictEqual((await api(first, "DELETE", `${path}/never-live`)).status, 204)
      const rows = await nodes.query<{ readonly slug: string }>(
        "select slug from streams where slug in ('rotates', 'never-live')"
      )
      assert.deepStrictEqual(rows, [{ slug: "rotates" }], "what was live is kept for its recordings")
    })
  )

  it.effect("has a key that captures and does nothing else", () =>
    two(async (_nodes, first) => {
      const key = await create(first, "only-captures")
      for (const [method, target] of [
        ["GET", path],
        ["GET", `${path}/only-captures`],
        ["POST", `${path}/only-captures/key`],
        ["GET", "/v1/conversations"],
        ["GET", "/v1/captures"],
        ["GET", "/v1/sync/audio/a/b"],
        ["GET", "/v1/keys"]
      ] as const) {
        const { status } = await fetch(first.url + target, { method, headers: { authorization: `Bearer ${key}` } })
        assert.strictEqual(status, 403, target)
      }
      const other = await openCaptureSocket(first, { key, query: "?uid=somebody" })
      assert.strictEqual(other.status, 403)
    })
  )

  it.effect("is erased with the account of its owner, captures and all", () =>
    two(async (nodes, first, other) => {
      const { body } = await api(first, "POST", `${path}?uid=erased`, { slug: "is-erased", title: "gone" })
      const socket = await open(other, body.key)
      socket.socket.send(second(0))
      await until(
        () => liveOf(first, "is-erased"),
        (found) => found !== null
      )
      assert.include([200, 202], (await api(first, "DELETE", "/v1/users/erased")).status)
      assert.strictEqual((await socket.closed).code, 1008)
      await until(
        () => nodes.query<{ readonly n: number }>("select count(*)::int as n from streams where uid = 'erased'"),
        ([row]) => row?.n === 0
      )
      assert.strictEqual((await open(first, body.key)).status, 401)
    })
  )

  it.effect("ends once when the node that fed it is killed", () =>
    two(async (nodes, first, other) => {
      const key = await create(first, "is-killed")
      const socket = await open(other, key)
      socket.socket.send(second(0))
      const conversation = await conversationOf(socket)
      await until(
        () => liveOf(first, "is-killed"),
        (found) => found !== null
      )
      await other.kill()
      await until(
        () => liveOf(first, "is-killed"),
        (found) => found === null
      )
      await nodes.restart(other)
      const finished = () => api(first, "GET", `/v1/conversations/${conversation}`)
      await until(finished, ({ status }) => status === 200)
      assert.deepStrictEqual(await types(nodes, "is-killed"), ["stream.started", "stream.ended"])
    })
  )
})
