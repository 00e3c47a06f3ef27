/** The object store in memory, for tests. */
import { crc32c } from "@node-rs/crc32"
import { DateTime, Effect, Layer, Stream } from "effect"
import { ObjectConflict, ObjectNotFound, Storage, StorageRefused, StorageUnavailable } from "../Storage.ts"
import type { NewObject, ObjectHead } from "../Storage.ts"
import * as Rules from "./Rules.ts"

interface Stored {
  readonly head: ObjectHead
  readonly bytes: Uint8Array
}

const at = (operation: string, key: string): Rules.At => ({ operation, bucket: "memory", key })

const collect = Effect.fnUntraced(function* ({ body, key }: NewObject) {
  if (body instanceof Uint8Array) return body.slice()
  const reason = `the body is not of ${body.size} bytes, as announced`
  const refusal = new StorageRefused({ ...at("put", key), reason })
  const stream: Stream.Stream<Uint8Array, StorageUnavailable | StorageRefused> = body.stream
  const limited = Stream.limitBytes(stream, body.size, () => Stream.fail(refusal))
  const bytes = yield* Stream.mkUint8Array(limited)
  return bytes.length === body.size ? bytes : yield* refusal
})

/** Over `capacity` bytes in all, puts fail as on a full disk. */
export const make = (capacity: number): Storage["Service"] => {
  const objects = new Map<string, Stored>()
  let generations = 0
  let used = 0

  const stored = (operation: string, key: string) =>
    Effect.andThen(
      Rules.key(at(operation, key)),
      Effect.suspend((): Effect.Effect<Stored, ObjectNotFound> => {
        const found = objects.get(key)
        return found === undefined ? new ObjectNotFound(at(operation, key)) : Effect.succeed(found)
      })
    )

  return {
    bucket: "memory",
    put: Effect.fn("MemoryStorage.put")(function* (object) {
      const { contentType, key, metadata } = object
      yield* Rules.key(at("put", key))
      yield* Rules.metadata(at("put", key), object)
      const bytes = yield* collect(object)
      const sum = { size: bytes.length, crc32c: crc32c(bytes) }
      const createdAt = DateTime.toDateUtc(yield* DateTime.now)
      const existing = objects.get(key)
      if (existing !== undefined) {
        return Rules.isSamePut(existing.head, sum) ? existing.head : yield* new ObjectConflict(at("put", key))
      }
      if (used + bytes.length > capacity) {
        return yield* new StorageUnavailable({ ...at("put", key), cause: new Error("full") })
      }
      const generation = String(++generations)
      const head = { key, ...sum, generation, contentType, metadata: { ...metadata }, createdAt }
      objects.set(key, { head, bytes })
      used += bytes.length
      return head
    }),
    get: (key, range) =>
      Stream.unwrap(
        Effect.gen(function* () {
          const { bytes } = yield* stored("get", key)
          const { end, start } = yield* Rules.range(at("get", key), range, bytes.length)
          return start === end ? Stream.empty : Stream.succeed(bytes.slice(start, end))
        })
      ),
    head: Effect.fn("MemoryStorage.head")((key) => Effect.map(stored("head", key), ({ head }) => head)),
    list: Effect.fn("MemoryStorage.list")(function* (prefix, options) {
      yield* Rules.prefix(at("list", prefix))
      const limit = Rules.limit(options?.limit)
      const keys = [...objects.keys()].filter((key) => key.startsWith(prefix) && key > (options?.after ?? "")).sort()
      const page = keys.slice(0, limit)
      const heads = page.flatMap((key) => objects.get(key)?.head ?? [])
      return { objects: heads, next: keys.length > limit ? page.at(-1) : undefined }
    }),
    remove: Effect.fn("MemoryStorage.remove")(function* (key) {
      yield* Rules.key(at("remove", key))
      used -= objects.get(key)?.bytes.length ?? 0
      objects.delete(key)
    })
  }
}

const standard = 256 * 1_024 * 1_024

/** Empty, 256 MiB. */
export const layer = Layer.sync(Storage, () => make(standard))
