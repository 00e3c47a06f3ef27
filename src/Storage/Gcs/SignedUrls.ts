/** A cache of signed URLs. A URL is reused while at least half of its lifetime is left, because signing takes 0.25 ms. */
import { Clock, Duration, Effect } from "effect"
import { BoundedMap } from "../../BoundedMap.ts"
import type { ObjectHead, SignedUrl, StorageRefused, StorageUnavailable } from "../../Storage.ts"
import { translate } from "./Fault.ts"
import type { Credentials } from "./Credentials.ts"
import * as Validation from "../Validation.ts"

interface Signed extends SignedUrl {
  /** Unix milliseconds. */
  readonly freshUntil: number
}

type Failure = StorageRefused | StorageUnavailable

export interface SignedUrls {
  readonly get: (at: Validation.At, lifetime: Duration.Duration) => Effect.Effect<SignedUrl, Failure>
  /** Evicts the URLs of an object that is removed, or whose metadata, which holds its expiry, changes. */
  readonly forget: (key: string) => void
}

/** Cached lifetimes for one object; one more clears them. */
const lifetimesPerKey = 8

/** Caches the URLs of `bound` objects, evicting the least recently used. `metadataOf` returns undefined for a missing object. */
export function make(
  bound: number,
  sign: Credentials["sign"],
  metadataOf: (at: Validation.At) => Effect.Effect<ObjectHead["metadata"] | undefined, Failure>
): SignedUrls {
  /** By key and lifetime in milliseconds; the least recently used key is first. */
  const known = new BoundedMap<Map<number, Signed>>(bound)

  const keep = (key: string, lifetime: number, signed: Signed) => {
    const ofKey = known.get(key) ?? new Map<number, Signed>()
    if (ofKey.size >= lifetimesPerKey) ofKey.clear()
    ofKey.set(lifetime, signed)
    known.set(key, ofKey)
  }

  const fresh = Effect.fnUntraced(function* (at: Validation.At, lifetime: Duration.Duration, now: number) {
    const ends = Validation.objectExpiry(yield* metadataOf(at))
    const until = yield* Validation.urlExpiry(at, lifetime, now, ends)
    const from = Math.floor(now / 1_000) * 1_000
    const url = yield* Effect.mapError(sign(at.key, from, until), translate(at))
    const signed: Signed = { url, expiresAt: new Date(until), freshUntil: now + (until - now) / 2 }
    keep(at.key, Duration.toMillis(lifetime), signed)
    return signed
  })

  return {
    get: Effect.fnUntraced(function* (at, lifetime) {
      const now = yield* Clock.currentTimeMillis
      const ofKey = known.get(at.key)
      const found = ofKey?.get(Duration.toMillis(lifetime))
      if (ofKey !== undefined && found !== undefined && now <= found.freshUntil) known.set(at.key, ofKey)
      const { expiresAt, url } =
        found !== undefined && now <= found.freshUntil ? found : yield* fresh(at, lifetime, now)
      return { url, expiresAt }
    }),
    forget: (key) => known.delete(key)
  }
}
