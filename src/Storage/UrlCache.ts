/** Signed URLs, handed out again while at least half of their life is left, so that caches on the way know them. */
import type { SignedUrl } from "../Storage.ts"

interface Kept {
  readonly url: SignedUrl
  /** Unix milliseconds from which on it is signed anew. */
  readonly until: number
}

/** `name` is all that a URL depends on. Of more than `bound`, the oldest goes and is signed anew. */
export function make(bound: number) {
  const known = new Map<string, Kept>()
  return {
    get: (name: string, now: number): SignedUrl | undefined => {
      const kept = known.get(name)
      return kept !== undefined && now <= kept.until ? kept.url : undefined
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
