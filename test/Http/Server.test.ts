/** The listening socket, and its bounds on slow clients, large requests and connections. */
import { connect, createServer, type Socket } from "node:net"
import { assert, it, layer } from "@effect/vitest"
import { Deferred, Effect, Layer, Predicate, Schema, Stream } from "effect"
import { HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"
import { NetAddress } from "effect/net"
import { Keys } from "../../src/Auth/Keys.ts"
import { ProblemBody } from "../../src/Http/Problem.ts"
import { environment, listening, served } from "./support/Served.ts"

/** Completed when the endless response is closed. */
const cut = Deferred.makeUnsafe<void>()

const endless = Stream.make(new Uint8Array(64 * 1024)).pipe(
  Stream.forever,
  Stream.onExit(() => Deferred.succeed(cut, undefined))
)

const routes = Layer.mergeAll(
  HttpRouter.add("GET", "/", HttpServerResponse.text("here")),
  HttpRouter.add(
    "POST",
    "/echo",
    Effect.gen(function* () {
      return HttpServerResponse.text(yield* (yield* HttpServerRequest.HttpServerRequest).text)
    })
  ),
  HttpRouter.add("GET", "/endless", HttpServerResponse.stream(endless))
)

const server = (env: Record<string, string>) => served(routes, env).pipe(Layer.provide(Layer.mock(Keys, {})))

/** A connection; `ended` is all received text once the server has closed it. */
const connection = Effect.gen(function* () {
  const { address } = yield* HttpServer.HttpServer
  const port = NetAddress.isInetAddress(address) ? address.port : 0
  const socket = yield* Effect.acquireRelease(
    Effect.callback<Socket>((resume) => {
      const socket = connect(port, "127.0.0.1", () => resume(Effect.succeed(socket)))
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )
  let text = ""
  socket.setEncoding("utf8").on("error", () => {})
  const ended = Effect.callback<string>((resume) => {
    socket.on("data", (more: string) => (text += more))
    socket.once("close", () => resume(Effect.succeed(text)))
  })
  return { ended, say: (text: string) => socket.write(text.replaceAll("\n", "\r\n")), socket }
})

const problemOf = (answer: string) =>
  Effect.gen(function* () {
    const [head = "", body = ""] = answer.split("\r\n\r\n")
    assert.match(head, /^content-type: application\/problem\+json$/im)
    assert.match(head, /^connection: close$/im)
    const problem = yield* Schema.decodeUnknownEffect(Schema.fromJsonString(ProblemBody))(body)
    assert.strictEqual(head.split(" ")[1], String(problem.status))
    return problem.status
  })

const impatient = { HEADERS_TIMEOUT: "150 millis", REQUEST_TIMEOUT: "300 millis" }

layer(server(impatient), { excludeTestServices: true })("a slow client", (it) => {
  it.effect("is answered with 408 when it is slow to send its head", () =>
    Effect.gen(function* () {
      const { ended, say } = yield* connection
      say("GET / HTTP/1.1\nHost: x\nX-Slow: ")
      assert.strictEqual(yield* problemOf(yield* ended), 408)
    })
  )

  it.effect("is answered with 408 when it sends nothing", () =>
    Effect.gen(function* () {
      const { ended } = yield* connection
      assert.strictEqual(yield* problemOf(yield* ended), 408)
    })
  )

  it.effect("is answered with 408 when it is slow to send its body", () =>
    Effect.gen(function* () {
      const { ended, say } = yield* connection
      say("POST /echo HTTP/1.1\nHost: x\nContent-Length: 100\n\nslow")
      assert.strictEqual(yield* problemOf(yield* ended), 408)
    })
  )
})

layer(server({ REQUEST_TIMEOUT: "100 millis" }), { excludeTestServices: true })("the request timeout", (it) => {
  it.effect("also bounds the head when it is shorter than the head's timeout", () =>
    Effect.gen(function* () {
      const { ended, say } = yield* connection
      say("GET / HTTP/1.1\n")
      assert.strictEqual(yield* problemOf(yield* ended), 408)
    })
  )
})

layer(server({ STALL_TIMEOUT: "300 millis" }), { excludeTestServices: true })("a client that stops reading", (it) => {
  it.effect("is disconnected when it reads nothing of its response", () =>
    Effect.gen(function* () {
      const { say, socket } = yield* connection
      socket.pause()
      say("GET /endless HTTP/1.1\nHost: x\n\n")
      yield* Deferred.await(cut)
    })
  )
})

const small = {
  MAX_HEADERS: "1 KiB",
  MAX_BODY: "1 KiB",
  SPILLWAY_KEEP_ALIVE_TIMEOUT: "100 millis",
  SPILLWAY_MAX_CONNECTIONS: "2"
}

layer(server(small), { excludeTestServices: true })("the HTTP server", (it) => {
  it.effect("answers a head over the bound with 431", () =>
    Effect.gen(function* () {
      const { ended, say } = yield* connection
      say(`GET / HTTP/1.1\nHost: x\nX-Large: ${"x".repeat(2000)}\n\n`)
      assert.strictEqual(yield* problemOf(yield* ended), 431)
    })
  )

  it.effect("applies the bound on bodies to chunked bodies", () =>
    Effect.gen(function* () {
      const { ended, say } = yield* connection
      say("POST /echo HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n")
      for (let i = 0; i < 3; i++) say(`200\n${"x".repeat(0x200)}\n`)
      assert.match(yield* ended, /^HTTP\/1\.1 413 /)
    })
  )

  it.effect("answers bytes that are not HTTP with 400", () =>
    Effect.gen(function* () {
      const { ended, say } = yield* connection
      say("SSH-2.0-OpenSSH_9.9\n")
      assert.strictEqual(yield* problemOf(yield* ended), 400)
    })
  )

  it.effect("closes idle connections after a while", () =>
    Effect.gen(function* () {
      const { ended, say } = yield* connection
      say("GET / HTTP/1.1\nHost: x\n\n")
      assert.match(yield* ended, /^HTTP\/1\.1 200 OK[\s\S]*here$/)
    })
  )

  it.effect("closes a connection over the bound without a response", () =>
    Effect.gen(function* () {
      const held = [yield* connection, yield* connection]
      const { ended } = yield* connection
      assert.strictEqual(yield* ended, "")
      assert.isTrue(held.every(({ socket }) => !socket.destroyed))
    })
  )
})

const taken = Effect.acquireRelease(
  Effect.callback<{ readonly port: number; readonly close: () => void }>((resume) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const address = server.address()
      const port = Predicate.isObject(address) && "port" in address ? Number(address.port) : 0
      resume(Effect.succeed({ port, close: () => server.close() }))
    })
  }),
  ({ close }) => Effect.sync(close)
)

const listeningWith = (env: Record<string, string>) => listening.pipe(Layer.provide(environment(env)))

it.effect("says in one line what to do when the port is in use", () =>
  Effect.gen(function* () {
    const { port } = yield* taken
    const error = yield* Effect.flip(Layer.build(listeningWith({ SPILLWAY_PORT: String(port) })))
    assert.strictEqual(error._tag, "CannotListen")
    assert.strictEqual(
      error.message,
      `Can't listen on port ${port} of 127.0.0.1: another program uses it. Stop that program, or set SPILLWAY_PORT to another port (0 picks a free one).`
    )
  })
)

it.effect("says that the machine has no such address", () =>
  Effect.gen(function* () {
    const error = yield* Effect.flip(Layer.build(listeningWith({ SPILLWAY_HOST: "192.0.2.1" })))
    assert.match(error.message, /SPILLWAY_HOST/)
  })
)

it.effect("listens on loopback alone, on a free port when it is 0", () =>
  Effect.gen(function* () {
    const context = yield* Layer.build(listeningWith({}))
    const { address } = yield* Effect.provideContext(HttpServer.HttpServer, context)
    assert.match(NetAddress.formatUrlUnsafe(address), /^http:\/\/127\.0\.0\.1:[1-9]\d*/)
  })
)
