/** `src/Http/ResponseBody.ts` with reused buffers, over real sockets: every listener gets its own bytes, however its connection ends. */
import { once } from "node:events"
import * as net from "node:net"
import { assert, layer } from "@effect/vitest"
import { Deferred, Effect, Layer, Option } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { NetAddress } from "effect/net"
import { Seats } from "../../src/Bulkhead.ts"
import { BulkheadConfig } from "../../src/Bulkhead/BulkheadConfig.ts"
import { ResponseBody } from "../../src/Http.ts"
import { Keys } from "../../src/Auth/Keys.ts"
import { ReadBuffers } from "../../src/Storage.ts"
import { seed } from "../support/Seed.ts"
import { served } from "./support/Served.ts"

/** As a piece of a long read: a few of them fill the system's buffers of a connection. */
const pieceBytes = 512 * 1024

/** The content of one piece of one body; no two are equal. */
const contentOf = (body: number, piece: number) => Buffer.alloc(pieceBytes, Buffer.of(body, piece, body ^ piece, 0xa5))

const turn = Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void)))

const state = {
  /** Called with the number of the piece, when it is asked for. */
  onNext: (_piece: number): Effect.Effect<void> => turn,
  onEnd: Effect.void as Effect.Effect<unknown>,
  taken: () => 0
}

const bodies = Effect.gen(function* () {
  const limit = { limit: 200, setting: "TEST" }
  const seats = yield* Seats.make("bodies", { node: limit, user: limit })
  state.taken = seats.taken
  return HttpRouter.add("GET", "/:body/:pieces", (request) =>
    Effect.gen(function* () {
      const params = yield* HttpRouter.params
      const [body, pieces] = [Number(params["body"]), Number(params["pieces"])]
      yield* seats.take("ada")
      let piece = 0
      const read = Effect.suspend(() => {
        if (piece === pieces) return Effect.succeed(undefined)
        const bytes = ReadBuffers.take(pieceBytes)
        bytes.set(contentOf(body, piece))
        return Effect.as(state.onNext(piece++), [bytes])
      })
      const first = (yield* read) ?? []
      return yield* ResponseBody.send(
        request,
        { status: 200, headers: {}, length: pieces * pieceBytes },
        { first, next: read, onSent: ReadBuffers.giveBack }
      )
    }).pipe(Effect.ensuring(Effect.suspend(() => state.onEnd)))
  )
})

const noKeys = Layer.mock(Keys, { find: () => Effect.succeed(Option.none()) })

const connect = Effect.gen(function* () {
  const { address } = yield* HttpServer.HttpServer
  const port = NetAddress.isInetAddress(address) ? address.port : 0
  const socket = yield* Effect.acquireRelease(
    Effect.sync(() => net.connect(port, "127.0.0.1").on("error", () => {})),
    (socket) => Effect.sync(() => socket.destroy())
  )
  yield* Effect.promise(() => once(socket, "connect"))
  return socket
})

const get = (body: number, pieces: number, version = "1.1") =>
  `GET /${body}/${pieces} HTTP/${version}\r\nhost: a\r\n\r\n`

/** Takes one response after another from a socket, and fails at the first byte of a body that is not its own. */
class Listener {
  readonly #socket: net.Socket
  #pending = Buffer.alloc(0)
  #expected = { piece: -1, content: Buffer.alloc(0) }

  constructor(socket: net.Socket) {
    this.#socket = socket
  }

  async #more(): Promise<boolean> {
    for (;;) {
      const data: Buffer | null = this.#socket.read()
      if (data !== null) {
        this.#pending = Buffer.concat([this.#pending, data])
        return true
      }
      if (this.#socket.readableEnded || this.#socket.destroyed) return false
      await new Promise<void>((resolve) => {
        const wake = () => {
          for (const event of ["readable", "end", "close"]) this.#socket.off(event, wake)
          resolve()
        }
        for (const event of ["readable", "end", "close"]) this.#socket.on(event, wake)
      })
    }
  }

  /** The bytes of the body that were received and compared, at most `until`. */
  async body(body: number, until: number): Promise<number> {
    while (!this.#pending.includes("\r\n\r\n")) if (!(await this.#more())) return 0
    this.#pending = this.#pending.subarray(this.#pending.indexOf("\r\n\r\n") + 4)
    let at = 0
    this.#expected.piece = -1
    for (;;) {
      while (this.#pending.length > 0 && at < until) {
        const offset = at % pieceBytes
        const length = Math.min(this.#pending.length, pieceBytes - offset, until - at)
        const piece = Math.floor(at / pieceBytes)
        if (this.#expected.piece !== piece) this.#expected = { piece, content: contentOf(body, piece) }
        const expected = this.#expected.content.subarray(offset, offset + length)
        assert.isTrue(this.#pending.subarray(0, length).equals(expected), `bytes from ${at} of body ${body}`)
        this.#pending = this.#pending.subarray(length)
        at += length
      }
      if (at === until || !(await this.#more())) return at
    }
  }
}

const routes = Layer.unwrap(bodies).pipe(Layer.provide(BulkheadConfig.layer))

layer(served(routes).pipe(Layer.provide(noKeys)), { excludeTestServices: true })("bodies", (it) => {
  it.effect("reach each of many listeners unmixed while others stop at random", () =>
    Effect.gen(function* () {
      let random = seed
      const below = (bound: number) => {
        random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0
        return Math.floor((random / 2 ** 32) * bound)
      }
      const listen = (body: number) =>
        Effect.gen(function* () {
          const pieces = 1 + below(16)
          const all = pieces * pieceBytes
          const until = body % 3 === 0 ? below(all) : all
          const socket = yield* connect
          socket.write(get(body, pieces))
          // Reads late, so that the server has bytes that the system has not taken.
          for (let turns = below(50); turns > 0; turns--) yield* turn
          assert.strictEqual(yield* Effect.promise(() => new Listener(socket).body(body, until)), until)
        }).pipe(Effect.scoped)
      yield* Effect.forEach(
        Array.from({ length: 64 }, (_, body) => body),
        listen,
        { concurrency: 24 }
      )
      yield* Effect.repeat(turn, { until: () => state.taken() === 0 })
    })
  )

  it.effect("follow each other on a connection, pipelined, empty ones included, and each gives its seat back", () =>
    Effect.gen(function* () {
      const socket = yield* connect
      const listener = new Listener(socket)
      const sizes = [3, 0, 1, 9, 0, 2]
      socket.write(sizes.map((pieces, body) => get(body, pieces)).join(""))
      for (const [body, pieces] of sizes.entries())
        assert.strictEqual(yield* Effect.promise(() => listener.body(body, pieces * pieceBytes)), pieces * pieceBytes)
      socket.write(get(9, 2))
      assert.strictEqual(yield* Effect.promise(() => listener.body(9, 2 * pieceBytes)), 2 * pieceBytes)
      socket.destroy()
      yield* Effect.repeat(turn, { until: () => state.taken() === 0 })
    })
  )

  it.effect("end with the connection for a client of HTTP/1.0", () =>
    Effect.gen(function* () {
      const socket = yield* connect
      socket.write(get(7, 5, "1.0"))
      assert.strictEqual(yield* Effect.promise(() => new Listener(socket).body(7, Infinity)), 5 * pieceBytes)
    })
  )

  it.effect("give their seats back when the client leaves while others wait behind on its connection", () =>
    Effect.gen(function* () {
      const ended = yield* Deferred.make<void>()
      const reading = yield* Deferred.make<void>()
      let open = 3
      state.onEnd = Effect.suspend(() => (--open === 0 ? Deferred.succeed(ended, undefined) : Effect.void))
      state.onNext = (piece) => (piece === 1 ? Effect.andThen(Deferred.succeed(reading, undefined), turn) : turn)
      const socket = yield* connect
      socket.pause()
      socket.write(get(1, 60) + get(2, 60) + get(3, 1))
      yield* Deferred.await(reading)
      yield* Effect.repeat(turn, { until: () => state.taken() === 3 })
      socket.destroy()
      yield* Effect.timeout(Deferred.await(ended), "2 minutes")
      yield* Effect.repeat(turn, { until: () => state.taken() === 0 })
    }).pipe(Effect.ensuring(Effect.sync(() => Object.assign(state, { onEnd: Effect.void, onNext: () => turn }))))
  )
})
