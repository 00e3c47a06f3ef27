/** Operations on several objects, built from those on one, for stores without native ones. */
import { Effect, Stream } from "effect"
import { StorageRefused } from "../Storage.ts"
import type { NewObjectHead, ObjectHead, ObjectNotFound, Storage, StorageUnavailable } from "../Storage.ts"
import * as Validation from "./Validation.ts"
import type { Source } from "./Source.ts"

type Removal = Effect.Effect<void, StorageUnavailable | StorageRefused>

/** Removes all keys, at most `window` at a time, then fails with the first failure, if any. */
export const removeMany = Effect.fnUntraced(function* (
  keys: ReadonlyArray<string>,
  window: number,
  remove: (key: string) => Removal
) {
  const [, [failure]] = yield* Effect.partition(keys, remove, { concurrency: window })
  if (failure !== undefined) return yield* failure
})

type ReadError = ObjectNotFound | StorageUnavailable | StorageRefused

/** Streams the sources into one put, one after the other, and verifies the CRC32C of each. */
export const compose = Effect.fnUntraced(function* <E>(
  store: Pick<Storage["Service"], "get" | "head">,
  window: number,
  target: NewObjectHead,
  at: Validation.At,
  sources: ReadonlyArray<string>,
  put: (object: Source<ReadError>) => Effect.Effect<ObjectHead, E>
) {
  yield* Validation.checkKey(at)
  yield* Validation.checkSources(at, sources)
  const heads = yield* Effect.forEach(sources, (key) => store.head(key), { concurrency: window })
  const size = heads.reduce((sum, head) => sum + head.size, 0)
  const stream = Stream.flatMap(Stream.fromIterable(sources, { chunkSize: 1 }), (key) =>
    Stream.catchTag(store.get(key), "ObjectDamaged", ({ reason }) =>
      Stream.fail(new StorageRefused({ ...at, key, reason }))
    )
  )
  return yield* put({ ...target, body: { size, stream } })
})
