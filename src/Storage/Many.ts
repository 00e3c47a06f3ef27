/** Operations on many objects, made of those on one, for stores that have none of their own. */
import { Effect, Stream } from "effect"
import { StorageRefused } from "../Storage.ts"
import type { NewObjectHead, ObjectHead, ObjectNotFound, Storage, StorageUnavailable } from "../Storage.ts"
import * as Rules from "./Rules.ts"
import type { Source } from "./Source.ts"

type Removal = Effect.Effect<void, StorageUnavailable | StorageRefused>

/** At most `window` at a time, all of them; then fails with the first failure. */
export const removeMany = Effect.fnUntraced(function* (
  keys: ReadonlyArray<string>,
  window: number,
  remove: (key: string) => Removal
) {
  const [, [failure]] = yield* Effect.partition(keys, remove, { concurrency: window })
  if (failure !== undefined) return yield* failure
})

type ReadError = ObjectNotFound | StorageUnavailable | StorageRefused

/** The bytes are read one object after the other while they are written; every object's CRC32C is checked. */
export const compose = Effect.fnUntraced(function* <E>(
  store: Pick<Storage["Service"], "get" | "head">,
  window: number,
  target: NewObjectHead,
  at: Rules.At,
  sources: ReadonlyArray<string>,
  put: (object: Source<ReadError>) => Effect.Effect<ObjectHead, E>
) {
  yield* Rules.key(at)
  yield* Rules.sources(at, sources)
  const heads = yield* Effect.forEach(sources, (key) => store.head(key), { concurrency: window })
  const size = heads.reduce((sum, head) => sum + head.size, 0)
  const stream = Stream.flatMap(Stream.fromIterable(sources, { chunkSize: 1 }), (key) =>
    Stream.catchTag(store.get(key), "ObjectDamaged", ({ reason }) =>
      Stream.fail(new StorageRefused({ ...at, key, reason }))
    )
  )
  return yield* put({ ...target, body: { size, stream } })
})
