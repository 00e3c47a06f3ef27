/** `src/Users/ActiveUsers.ts` on two servers with one database. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { World } from "../Precache/support/Nodes.ts"
import { audioFrame, readAck, switchTo } from "../support/Capturer.ts"
import { openCaptureSocket } from "../support/CaptureSocket.ts"
import * as Postgres from "../support/Postgres.ts"

const world = World.layer({}).pipe(Layer.provide(Postgres.layerServer))

layer(world, { excludeTestServices: true, timeout: 60_000 })("settings of users", (it) => {
  it.effect("apply within seconds on a node that another node records on", () =>
    World.use(({ servers: [first, second] }) =>
      Effect.promise(async () => {
        if (first === undefined || second === undefined) return assert.fail("two run")
        const { closed, messages, socket, until } = await openCaptureSocket(second, { query: "?ack=1&uid=moved" })
        socket.send(switchTo("talk"))
        socket.send(audioFrame(1_700_000_000, Buffer.alloc(3_200, 1)))
        await until((all) => all.some((message) => readAck(message) !== undefined))
        const set = await fetch(`${first.url}/v1/users/private-cloud-sync?value=false&uid=moved`, {
          method: "POST",
          headers: { authorization: `Bearer ${first.key}` }
        })
        assert.strictEqual(set.status, 200)
        const began = performance.now()
        const isOver = () => messages.some((message) => message.readUInt32LE(0) === 204)
        for (let at = 1; !isOver(); at++) {
          socket.send(audioFrame(1_700_000_000 + at, Buffer.alloc(3_200, at)))
          await new Promise((resolve) => setTimeout(resolve, 50))
        }
        assert.isBelow(performance.now() - began, 5_000)
        socket.close()
        await closed
      })
    )
  )
})
