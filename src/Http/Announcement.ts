/** Tells people where the server is, once it listens. */
import { Console, Effect, Layer, Option, Redacted } from "effect"
import { HttpServer } from "effect/http"
import { NetAddress } from "effect/net"
import { PublicUrl } from "../PublicUrl.ts"
import { AdminKey } from "./AdminKey.ts"

export const layer = Layer.effectDiscard(
  Effect.gen(function* () {
    const { address } = yield* HttpServer.HttpServer
    const publicUrl = yield* PublicUrl
    if (NetAddress.isInetAddress(address)) publicUrl.listening(address.port)
    const { made, place } = yield* AdminKey
    yield* Console.log(`Spillway listens on ${HttpServer.formatAddress(address)}`)
    // In the fragment, which browsers do not send.
    yield* Console.log(
      Option.match(made, {
        onNone: () => `Open ${publicUrl.base()}/ in a browser: ${place}`,
        onSome: (key) =>
          `Open ${publicUrl.base()}/#key=${Redacted.value(key)} in a browser: this link has the key in it`
      })
    )
  })
)
