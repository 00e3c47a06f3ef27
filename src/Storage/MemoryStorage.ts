/** The object store in memory, for tests. */
import { crc32c } from "@node-rs/crc32"
import { DateTime, Effect, Layer, Stream } from "effect"
import { ObjectConflict, ObjectNotFound, Storage, StorageUnavailable } from "../Storage.ts"
import type { NewObjectHead, ObjectHead, StorageRefused } from "../Storage.ts"
import * as Batch from "./Batch.ts"
import * as Measured from "./Measured.ts"
import * as Validation from "./Validation.ts"
import type { Source } from "./Source.ts"

interface Stored {
  readonly head: ObjectHead
  readonly bytes: Uint8Array
}

const at = (operation: string, key: string): Validation.At => ({ operation, bucket: "memory", key })

/** Concurrent operations of one call. */
const window = 8

const collect = Effect.fnUntraced(function* <E>({ body, key }: Source<E>) {
  if (body instanceof Uint8Array) return Uint8Array.from(body)
  const refusal = Validation.wrongSize(at("put", key), body.size)
  const stream: Stream.Stream<Uint8Array, E | StorageRefused> = body.stream
  const limited = Stream.limitBytes(stream, body.size, () => Stream.fail(refusal))
  const bytes = yield* Stream.mkUint8Array(limited)
  return bytes.length === body.size ? bytes : yield* refusal
})

/** Puts that exceed `capacity` bytes in all fail as on a full disk. */
export function make(capacity: number): Storage["Service"] {
  const objects = new Map<string, Stored>()
  let generations = 0
  let used = 0

  const stored = (operation: string, key: string) =>
    Effect.andThen(
      Validation.checkKey(at(operation, key)),
      Effect.suspend((): Effect.Effect<Stored, ObjectNotFound> => {
        const found = objects.get(key)
        return found === undefined ? new ObjectNotFound(at(operation, key)) : Effect.succeed(found)
      })
    )

  /** Validates the key and the metadata before it reads the body. */
  const put = Effect.fnUntraced(function* <E>(
    at: Validation.At,
    { contentType, key, metadata }: NewObjectHead,
    body: Effect.Effect<Uint8Array, E>
  ) {
    yield* Validation.checkKey(at)
    yield* Validation.checkMetadata(at, { contentType, metadata })
    const bytes = yield* body
    const sum = { size: bytes.length, crc32c: crc32c(bytes) }
    const createdAt = DateTime.toDateUtc(yield* DateTime.now)
    const existing = objects.get(key)
    if (existing !== undefined) {
      return Validation.isSamePut(existing.head, sum) ? existing.head : yield* new ObjectConflict(at)
    }
    if (used + bytes.length > capacity) return yield* new StorageUnavailable({ ...at, cause: new Error("full") })
    const generation = String(++generations)
    const head = { key, ...sum, generation, contentType, metadata: { ...metadata }, createdAt }
    objects.set(key, { head, bytes })
    used += bytes.length
    return head
  })

  const get: Storage["Service"]["get"] = (key, range) =>
    Stream.unwrap(
      Effect.gen(function* () {
        const { bytes } = yield* stored("get", key)
        const { end, start } = yield* Validation.clipRange(at("get", key), range, bytes.length)
        return start === end ? Stream.empty : Stream.succeed(bytes.slice(start, end))
      })
    )

  const head = Effect.fn("MemoryStorage.head")((key: string) => Effect.map(stored("head", key), ({ head }) => head))

  const remove = Effect.fn("MemoryStorage.remove")(function* (key: string, options?: { readonly generation?: string }) {
    yield* Validation.checkKey(at("remove", key))
    const existing = objects.get(key)
    if (existing === undefined || existing.head.generation !== (options?.generation ?? existing.head.generation)) return
    used -= existing.bytes.length
    objects.delete(key)
  })

  return {
    bucket: "memory",
    isComposer: false,
    freeBytes: Effect.succeed(Infinity),
    put: Effect.fn("MemoryStorage.put")((object) => put(at("put", object.key), object, collect(object))),
    get,
    read: (key, range) => Stream.mkUint8Array(get(key, range)),
    head,
    compose: Effect.fn("MemoryStorage.compose")((target, sources) =>
      Batch.compose({ get, head }, window, target, at("compose", target.key), sources, (object) =>
        put(at("compose", target.key), object, collect(object))
      )
    ),
    setMetadata: Effect.fn("MemoryStorage.setMetadata")(function* (key, metadata) {
      const { bytes, head } = yield* stored("setMetadata", key)
      yield* Validation.checkMetadata(at("setMetadata", key), { ...head, metadata })
      const changed = { ...head, metadata: { ...metadata } }
      objects.set(key, { head: changed, bytes })
      return changed
    }),
    list: Effect.fn("MemoryStorage.list")(function* (prefix, options) {
      yield* Validation.checkPrefix(at("list", prefix))
      const limit = Validation.clampLimit(options?.limit)
      const keys = [...objects.keys()].filter((key) => key.startsWith(prefix) && key > (options?.after ?? "")).sort()
      const page = keys.slice(0, limit)
      const heads = page.flatMap((key) => objects.get(key)?.head ?? [])
      return { objects: heads, next: keys.length > limit ? page.at(-1) : undefined }
    }),
    remove,
    removeMany: Effect.fn("MemoryStorage.removeMany")((keys) => Batch.removeMany(keys, window, remove)),
    signedUrl: Effect.fn("MemoryStorage.signedUrl")(function* (key, { lifetime }) {
      yield* Validation.checkKey(at("signedUrl", key))
      const now = yield* DateTime.now
      const ends = Validation.objectExpiry(objects.get(key)?.head.metadata)
      const expiresAt = yield* Validation.urlExpiry(at("signedUrl", key), lifetime, DateTime.toEpochMillis(now), ends)
      return { url: `memory:${key}?expires=${expiresAt}`, expiresAt: new Date(expiresAt) }
    })
  }
}

const defaultCapacity = 256 * 1_024 * 1_024

/** Starts empty; capacity 256 MiB. */
export const layer = Layer.effect(
  Storage,
  Effect.suspend(() => Measured.of(make(defaultCapacity)))
)
