/** A cache of signed URLs. A URL is reused while at least half of its lifetime is left, so that HTTP caches can hit. */
import type { SignedUrl } from "../Storage.ts"

interface Cached {
  readonly url: SignedUrl
  /** Unix milliseconds after which the URL is signed again. */
  readonly until: number
}

/** `name` identifies everything that a URL depends on. Evicts the oldest of more than `bound` URLs. */
export function make(bound: number) {
  const known = new Map<string, Cached>()
  return {
    get: (name: string, now: number): SignedUrl | undefined => {
      const cached = known.get(name)
      return cached !== undefined && now <= cached.until ? cached.url : undefined
    },
    add: (name: string, now: number, url: SignedUrl): SignedUrl => {
      known.delete(name)
      known.set(name, { url, until: (now + url.expiresAt.getTime()) / 2 })
      for (const oldest of known.keys()) {
        if (known.size <= bound) break
        known.delete(oldest)
      }
      return url
    },
    size: () => known.size
  }
}
