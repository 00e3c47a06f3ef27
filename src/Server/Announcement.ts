/** Announces the server's address. A new admin key is printed on a terminal only, so that no log collector stores it. */
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
    if (NetAddress.isInetAddress(address)) publicUrl.setPort(address.port)
    const { created, location } = yield* AdminKey
    yield* Telemetry.announce(`Spillway listens on ${HttpServer.formatAddress(address)}`)
    if (Option.isNone(created) || !(yield* Telemetry.Interactive)) {
      return yield* Telemetry.announce(`Open ${publicUrl.base()}/ in a browser: ${location}`)
    }
    const key = Redacted.value(created.value.secret)
    yield* Telemetry.announce(`The admin key, shown only now and stored in ${created.value.file}: ${key}`)
    // Browsers do not send the fragment.
    yield* Telemetry.announce(`Open ${publicUrl.base()}/#key=${key} in a browser: this link contains the key`)
  })
)
