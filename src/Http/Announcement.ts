/** Tells people where the server is, once it listens. */
import { Console, Effect, Layer } from "effect"
import { HttpServer } from "effect/http"
import { NetAddress } from "effect/net"
import { PublicUrl } from "../PublicUrl.ts"

export const layer = Layer.effectDiscard(
  Effect.gen(function* () {
    const { address } = yield* HttpServer.HttpServer
    const publicUrl = yield* PublicUrl
    if (NetAddress.isInetAddress(address)) publicUrl.listening(address.port)
    yield* Console.log(`Spillway listens on ${HttpServer.formatAddress(address)}`)
  })
)
