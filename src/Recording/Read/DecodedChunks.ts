/** A cache of audio that can't be read by range. The least recently used chunk is evicted. */
import { Cache, Duration, Effect, Exit, Schedule } from "effect"
import { Priority } from "../../Bulkhead.ts"

/** A read in progress waits up to 10 s for a permit while the queue of waiters is full. */
export const whileSaturated = Schedule.spaced("500 millis").pipe(
  Schedule.upTo({ times: 20 }),
  Schedule.setInputType<{ readonly _tag: string }>(),
  Schedule.while(({ input }) => input._tag === "Saturated")
)

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
