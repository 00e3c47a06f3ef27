/** A body that is read while it is sent, over a real socket. */
import { once } from "node:events"
import * as net from "node:net"
import { assert, layer } from "@effect/vitest"
import { Deferred, Effect, Layer, Option } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { NetAddress } from "effect/net"
import { ResponseBody } from "../../src/Http.ts"
import { Keys } from "../../src/Auth/Keys.ts"
import { served } from "./support/Served.ts"

/** More than the buffers of both ends of a connection take. */
const large = 16 * 1024 * 1024

interface Sent {
  pieces: ReadonlyArray<Uint8Array>
  fails: boolean
  hasLength: boolean
  asked: number
  /** Pieces that the system has. */
  sent: number
  onAsked: Effect.Effect<unknown>
  onEnd: Effect.Effect<unknown>
}
const state: Sent = {
  pieces: [],
  fails: false,
  hasLength: true,
  asked: 0,
  sent: 0,
  onAsked: Effect.void,
  onEnd: Effect.void
}

const reset = (pieces: ReadonlyArray<Uint8Array>) =>
  Object.assign(state, {
    pieces,
    fails: false,
    hasLength: true,
    asked: 0,
    sent: 0,
    onAsked: Effect.void,
    onEnd: Effect.void
  })

const route = HttpRouter.add("GET", "/body", (request) => {
  const [first = new Uint8Array(0), ...rest] = state.pieces
  return ResponseBody.send(
    request,
    {
      status: 200,
      headers: {},
      length: state.hasLength ? state.pieces.reduce((sum, { length }) => sum + length, 0) : undefined
    },
    {
      first: [first],
      next: Effect.suspend(() => {
        state.asked++
        const piece = rest.shift()
        const next = state.fails ? Effect.fail("broken") : Effect.succeed(piece === undefined ? undefined : [piece])
        return Effect.andThen(state.onAsked, next)
      }),
      onSent: () => state.sent++
    }
  ).pipe(Effect.ensuring(Effect.suspend(() => state.onEnd)))
})

const noKeys = Layer.mock(Keys, { find: () => Effect.succeed(Option.none()) })

/** A connection that has sent the request and reads nothing. */
const connect = Effect.gen(function* () {
  const { address } = yield* HttpServer.HttpServer
  const port = NetAddress.isInetAddress(address) ? address.port : 0
  const socket = net.connect(port, "127.0.0.1")
  socket.pause()
  socket.on("error", () => {})
  yield* Effect.promise(() => once(socket, "connect"))
  socket.write("GET /body HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
  return socket
})

const received = (socket: net.Socket) =>
  Effect.promise(async () => {
    const parts: Array<Buffer> = []
    socket.on("data", (data) => parts.push(data)).resume()
    await once(socket, "close")
    const all = Buffer.concat(parts)
    return all.subarray(all.indexOf("\r\n\r\n") + 4)
  })

layer(served(route).pipe(Layer.provide(noKeys)), { excludeTestServices: true })("a body", (it) => {
  it.effect("is read one piece ahead of a client that does not read, and a piece is free when the system has it", () =>
    Effect.gen(function* () {
      const pieces = [1, 2, 3].map((fill) => new Uint8Array(large).fill(fill))
      const asked = yield* Deferred.make<void>()
      reset(pieces)
      state.onAsked = Deferred.succeed(asked, undefined)
      const socket = yield* connect
      yield* Deferred.await(asked)
      assert.deepStrictEqual([state.asked, state.sent], [1, 0])
      const body = yield* received(socket)
      assert.isTrue(body.equals(Buffer.concat(pieces)))
      assert.deepStrictEqual([state.asked, state.sent], [2, 3])
    })
  )

  it.effect("is cut behind what was read before a failure", () =>
    Effect.gen(function* () {
      const pieces = [new Uint8Array(large).fill(1), new Uint8Array(10)]
      reset(pieces)
      state.fails = true
      const body = yield* received(yield* connect)
      assert.isTrue(body.equals(Buffer.from(pieces[0] ?? [])))
    })
  )

  it.effect("of unknown length ends with its last piece, in chunks", () =>
    Effect.gen(function* () {
      reset([Buffer.from("one"), Buffer.from("three")])
      state.hasLength = false
      assert.strictEqual(String(yield* received(yield* connect)), "3\r\none\r\n5\r\nthree\r\n0\r\n\r\n")
    })
  )

  it.effect("of unknown length is cut without the last chunk by a failure", () =>
    Effect.gen(function* () {
      reset([Buffer.from("one")])
      state.hasLength = false
      state.fails = true
      assert.strictEqual(String(yield* received(yield* connect)), "3\r\none\r\n")
    })
  )

  it.effect("that is empty ends", () =>
    Effect.gen(function* () {
      reset([])
      assert.lengthOf(yield* received(yield* connect), 0)
    })
  )

  it.effect("ends when its client has gone, and gives none of what was not sent for free", () =>
    Effect.gen(function* () {
      const [asked, ended] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      reset([new Uint8Array(large), new Uint8Array(large)])
      state.onAsked = Deferred.succeed(asked, undefined)
      state.onEnd = Deferred.succeed(ended, undefined)
      const socket = yield* connect
      yield* Deferred.await(asked)
      socket.destroy()
      yield* Deferred.await(ended)
      assert.strictEqual(state.sent, 0)
    })
  )
})

const hasty = served(route, { STALL_TIMEOUT: "300 millis" }).pipe(Layer.provide(noKeys))

layer(hasty, { excludeTestServices: true })("a body that pauses for longer than a response may stall", (it) => {
  it.effect("is sent if its length is unknown, and cut if it is known", () =>
    Effect.gen(function* () {
      for (const hasLength of [false, true]) {
        reset([Buffer.from("one"), Buffer.from("three")])
        state.hasLength = hasLength
        state.onAsked = Effect.sleep("1 second")
        const body = String(yield* received(yield* connect))
        assert.strictEqual(body, hasLength ? "one" : "3\r\none\r\n5\r\nthree\r\n0\r\n\r\n")
      }
    })
  )

  it.effect("is cut if its client takes nothing, also if its length is unknown", () =>
    Effect.gen(function* () {
      const ended = yield* Deferred.make<void>()
      reset([new Uint8Array(large), new Uint8Array(large)])
      state.hasLength = false
      state.onEnd = Deferred.succeed(ended, undefined)
      const socket = yield* connect
      yield* Deferred.await(ended)
      socket.destroy()
      assert.strictEqual(state.sent, 0)
    })
  )
})
