/** The listening socket. */
import { createServer } from "node:net"
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Predicate } from "effect"
import { HttpServer } from "effect/http"
import { NetAddress } from "effect/net"
import { environment, listening } from "./support/Served.ts"

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

const server = (env: Record<string, string>) => listening.pipe(Layer.provide(environment(env)))

it.effect("says in one line what to do when the port is in use", () =>
  Effect.gen(function* () {
    const { port } = yield* taken
    const error = yield* Effect.flip(Layer.build(server({ SPILLWAY_PORT: String(port) })))
    assert.strictEqual(error._tag, "CannotListen")
    assert.strictEqual(
      error.message,
      `Can't listen on port ${port} of 127.0.0.1: another program uses it. Stop that program, or set SPILLWAY_PORT to another port (0 picks a free one).`
    )
  })
)

it.effect("says that the machine has no such address", () =>
  Effect.gen(function* () {
    const error = yield* Effect.flip(Layer.build(server({ SPILLWAY_HOST: "192.0.2.1" })))
    assert.match(error.message, /SPILLWAY_HOST/)
  })
)

it.effect("listens on loopback alone, on a free port when it is 0", () =>
  Effect.gen(function* () {
    const context = yield* Layer.build(server({}))
    const { address } = yield* Effect.provideContext(HttpServer.HttpServer, context)
    assert.match(NetAddress.formatUrlUnsafe(address), /^http:\/\/127\.0\.0\.1:[1-9]\d*/)
  })
)
