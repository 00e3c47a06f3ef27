/**
 * Tells people where the server is, once it listens. A new admin key is shown on a terminal alone: whatever else collects
 * the output would keep it, and for longer.
 */
import { Effect, Layer, Option, Redacted } from "effect"
import { HttpServer } from "effect/http"
import { NetAddress } from "effect/net"
import { PublicUrl } from "../PublicUrl.ts"
import * as Telemetry from "../Telemetry.ts"
import { AdminKey } from "../Auth/AdminKey.ts"

export const layer = Layer.effectDiscard(
  Effect.gen(function* () {
    const { address } = yield* HttpServer.HttpServer
    const publicUrl = yield* PublicUrl
    if (NetAddress.isInetAddress(address)) publicUrl.listening(address.port)
    const { made, place } = yield* AdminKey
    yield* Telemetry.announce(`Spillway listens on ${HttpServer.formatAddress(address)}`)
    if (Option.isNone(made) || !(yield* Telemetry.Attended)) {
      return yield* Telemetry.announce(`Open ${publicUrl.base()}/ in a browser: ${place}`)
    }
    const key = Redacted.value(made.value.secret)
    yield* Telemetry.announce(`The admin key, shown this once and kept in ${made.value.file}: ${key}`)
    // In the fragment, which browsers do not send.
    yield* Telemetry.announce(`Open ${publicUrl.base()}/#key=${key} in a browser: this link has the key in it`)
  })
)
