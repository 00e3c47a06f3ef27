/** Signed URLs of objects that this server serves. */
import { Clock, Context, Duration, Effect, Layer } from "effect"
import { PublicUrl } from "../../PublicUrl.ts"
import type { SignedUrl, StorageRefused } from "../../Storage.ts"
import * as Validation from "../Validation.ts"
import { StorageConfig } from "../StorageConfig.ts"
import * as UrlCache from "../UrlCache.ts"
import { UrlKey } from "./UrlKey.ts"
import * as UrlSignature from "./UrlSignature.ts"

/** The path prefix; the rest of the path is the key. */
export const path = "/objects/"

export class ObjectUrls extends Context.Service<
  ObjectUrls,
  {
    /** The URL expires at `ends` (Unix milliseconds) at the latest. */
    sign(at: Validation.At, lifetime: Duration.Duration, ends: number): Effect.Effect<SignedUrl, StorageRefused>
    /** Whether the signature is valid for this method and has not expired. */
    isValid(claim: UrlSignature.Claim, signature: string): Effect.Effect<boolean>
  }
>()("spillway/Storage/Disk/ObjectUrls") {
  static readonly layerNoDeps = Layer.effect(
    ObjectUrls,
    Effect.gen(function* () {
      const secret = yield* UrlKey
      const { urls } = yield* StorageConfig
      const publicUrl = yield* PublicUrl
      const cache = UrlCache.make(urls)

      return ObjectUrls.of({
        sign: Effect.fnUntraced(function* (at, lifetime, ends) {
          const now = yield* Clock.currentTimeMillis
          const base = publicUrl.base()
          const name = [base, at.key, Duration.toMillis(lifetime), ends].join("\n")
          const known = cache.get(name, now)
          if (known !== undefined) return known
          const expiresAt = yield* Validation.urlExpiry(at, lifetime, now, ends)
          const expires = String(expiresAt / 1_000)
          const signature = UrlSignature.sign(secret, { method: "GET", key: at.key, expires })
          const url = `${base}${path}${at.key}?expires=${expires}&signature=${signature}`
          return cache.add(name, now, { url, expiresAt: new Date(expiresAt) })
        }),
        isValid: (claim, signature) =>
          Effect.map(
            Clock.currentTimeMillis,
            (now) => UrlSignature.isSigned(secret, claim, signature) && now < Number(claim.expires) * 1_000
          )
      })
    })
  )
  static readonly layer = this.layerNoDeps.pipe(Layer.provide(UrlKey.layer))
}
