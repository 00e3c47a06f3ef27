/** Tells people where the server is, once it listens. */
import { Console, Effect, Layer } from "effect"
import { HttpServer } from "effect/http"

export const layer = Layer.effectDiscard(
  Effect.flatMap(HttpServer.HttpServer, (server) =>
    Console.log(`Spillway listens on ${HttpServer.formatAddress(server.address)}`)
  )
)
