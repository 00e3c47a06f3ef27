/** A cache of audio that can't be read by range. The least recently used chunk is evicted. */
import { Cache, Duration, Effect, Exit } from "effect"
import { Priority, whileSaturated } from "../../Bulkhead.ts"

/** `capacity` chunks for each priority: a listener neither waits for a read in the background nor loses a chunk to it. */
export const make = Effect.fnUntraced(function* <Key, E extends { readonly _tag: string }>(
  decode: (key: Key) => Effect.Effect<Uint8Array, E>,
  capacity: number
) {
  const cache = Cache.makeWith((key: Key) => Effect.retry(decode(key), whileSaturated), {
    capacity,
    timeToLive: (exit) => (Exit.isSuccess(exit) ? Duration.infinity : Duration.zero)
  })
  const caches = { interactive: yield* cache, background: yield* cache }
  const current = Effect.map(Priority, (priority) => caches[priority])
  return {
    get: (key: Key) => Effect.flatMap(current, (cache) => Cache.get(cache, key)),
    has: (key: Key) => Effect.flatMap(current, (cache) => Cache.has(cache, key))
  }
})
