/** Signed URLs of objects that this server serves. */
import { createHmac, timingSafeEqual } from "node:crypto"
import { Clock, Context, Duration, Effect, Layer } from "effect"
import { BoundedMap } from "../../BoundedMap.ts"
import { PublicUrl } from "../../PublicUrl.ts"
import type { SignedUrl, StorageRefused } from "../../Storage.ts"
import * as Validation from "../Validation.ts"
import { StorageConfig } from "../StorageConfig.ts"
import { UrlKey } from "./UrlKey.ts"

/** The path prefix; the rest of the path is the key. */
export const path = "/objects/"

export interface Claim {
  readonly method: string
  readonly key: string
  /** Unix seconds, as written in the URL. */
  readonly expires: string
}

/** HMAC-SHA256 over the method, key and expiry of a URL. */
export function signatureOf(secret: Uint8Array, { expires, key, method }: Claim): string {
  const claim = ["spillway-url-1", method, key, expires].join("\n")
  return createHmac("sha256", secret).update(claim).digest("base64url")
}

/** Takes constant time for every signature of the right length. */
function isSigned(secret: Uint8Array, claim: Claim, signature: string): boolean {
  const [given, right] = [Buffer.from(signature), Buffer.from(signatureOf(secret, claim))]
  return given.length === right.length && timingSafeEqual(given, right)
}

interface Cached {
  readonly url: SignedUrl
  /** Unix milliseconds after which the URL is signed again. */
  readonly until: number
}

/** Reuses a URL, known by all that it depends on, while half of its lifetime is left, so that HTTP caches can hit. */
export function makeCache(bound: number) {
  const known = new BoundedMap<Cached>(bound)
  return {
    get: (name: string, now: number): SignedUrl | undefined => {
      const cached = known.get(name)
      return cached !== undefined && now <= cached.until ? cached.url : undefined
    },
    add: (name: string, now: number, url: SignedUrl): SignedUrl => {
      known.set(name, { url, until: (now + url.expiresAt.getTime()) / 2 })
      return url
    },
    size: () => known.size
  }
}

export class ObjectUrls extends Context.Service<
  ObjectUrls,
  {
    /** The URL expires at `ends` (Unix milliseconds) at the latest. */
    sign(at: Validation.At, lifetime: Duration.Duration, ends: number): Effect.Effect<SignedUrl, StorageRefused>
    /** Whether the signature is valid for this method and has not expired. */
    isValid(claim: Claim, signature: string): Effect.Effect<boolean>
  }
>()("spillway/Storage/Disk/ObjectUrls") {
  static readonly layerNoDeps = Layer.effect(
    ObjectUrls,
    Effect.gen(function* () {
      const secret = yield* UrlKey
      const { urls } = yield* StorageConfig
      const publicUrl = yield* PublicUrl
      const cache = makeCache(urls)

      return ObjectUrls.of({
        sign: Effect.fnUntraced(function* (at, lifetime, ends) {
          const now = yield* Clock.currentTimeMillis
          const base = publicUrl.base()
          const name = [base, at.key, Duration.toMillis(lifetime), ends].join("\n")
          const known = cache.get(name, now)
          if (known !== undefined) return known
          const expiresAt = yield* Validation.urlExpiry(at, lifetime, now, ends)
          const expires = String(expiresAt / 1_000)
          const signature = signatureOf(secret, { method: "GET", key: at.key, expires })
          const url = `${base}${path}${at.key}?expires=${expires}&signature=${signature}`
          return cache.add(name, now, { url, expiresAt: new Date(expiresAt) })
        }),
        isValid: (claim, signature) =>
          Effect.map(
            Clock.currentTimeMillis,
            (now) => isSigned(secret, claim, signature) && now < Number(claim.expires) * 1_000
          )
      })
    })
  )
  static readonly layer = this.layerNoDeps.pipe(Layer.provide(UrlKey.layer))
}
