/** Deletion on tombstones and a store in memory, by the test's clock. */
import { Context, Effect, Layer, Ref } from "effect"
import { StorageBulkheads } from "../../../src/Bulkhead.ts"
import { BulkheadConfig } from "../../../src/Bulkhead/BulkheadConfig.ts"
import { Deletion } from "../../../src/Deletion.ts"
import * as Janitor from "../../../src/Deletion/Janitor.ts"
import type { Tombstones } from "../../../src/Deletion/Tombstones.ts"
import { Storage } from "../../../src/Storage.ts"
import * as MemoryStorage from "../../../src/Storage/MemoryStorage.ts"
import * as MemoryTombstones from "./MemoryTombstones.ts"

type Remove = Storage["Service"]["remove"]

/** The keys that the store was asked to remove, in order, and what it does instead if that is set. */
export class Removals extends Context.Service<
  Removals,
  { readonly keys: Array<string>; readonly instead: Ref.Ref<((key: string) => ReturnType<Remove>) | undefined> }
>()("spillway/test/Deletion/support/Memory/Removals") {}

const storage = Layer.effect(
  Storage,
  Effect.gen(function* () {
    const { instead, keys } = yield* Removals
    const store = MemoryStorage.make(1_024 * 1_024)
    const remove: Remove = (key, options) =>
      Effect.flatMap(Ref.get(instead), (other) => {
        keys.push(key)
        return other === undefined ? store.remove(key, options) : other(key)
      })
    return Storage.of({ ...store, remove })
  })
)

const removals = Layer.effect(
  Removals,
  Effect.map(Ref.make<((key: string) => ReturnType<Remove>) | undefined>(undefined), (instead) => ({
    keys: [],
    instead
  }))
)

const write = StorageBulkheads.layer.pipe(Layer.provide(BulkheadConfig.layer))

/** What nodes share. */
export const shared = (tombstones: Layer.Layer<Tombstones> = MemoryTombstones.layer) =>
  Layer.mergeAll(storage, tombstones, write).pipe(Layer.provideMerge(removals))

/** What each node has. */
export const node = Janitor.layer.pipe(Layer.provideMerge(Deletion.layerNoDeps))

export const layer = node.pipe(Layer.provideMerge(shared()))

/** Puts an object, and returns what deletes it. */
export const put = (key: string, body = key) =>
  Effect.gen(function* () {
    const storage = yield* Storage
    const bytes = new TextEncoder().encode(body)
    const { generation } = yield* storage.put({ key, body: bytes, contentType: "text/plain", metadata: {} })
    return { key, generation, uid: "u" }
  })

export const exists = (key: string) =>
  Effect.flatMap(Storage, (storage) =>
    storage.head(key).pipe(
      Effect.as(true),
      Effect.catchTag("ObjectNotFound", () => Effect.succeed(false))
    )
  )
