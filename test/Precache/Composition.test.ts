/** Composing on a store in memory, which copies. */
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Schema, Stream } from "effect"
import { StorageBulkheads } from "../../src/Bulkhead.ts"
import { BulkheadConfig } from "../../src/Bulkhead/BulkheadConfig.ts"
import * as Composition from "../../src/Precache/Composition.ts"
import type { Storage } from "../../src/Storage.ts"
import * as MemoryStorage from "../../src/Storage/MemoryStorage.ts"

const bulkheads = StorageBulkheads.layer.pipe(Layer.provide(BulkheadConfig.layer))
const temporary = { contentType: "a/b", metadata: {} }
const target = { key: "target", contentType: "audio/wav", metadata: { fingerprint: "f" } }

const noise = (size: number, seed: number) =>
  Buffer.from(Uint8Array.from({ length: size }, (_, at) => ((at + seed) * 2_654_435_761) >>> 13))

const make = Effect.fnUntraced(function* (storage: Storage["Service"]) {
  const { write } = yield* StorageBulkheads
  let count = 0
  const composition = Composition.make(
    storage,
    write,
    "u",
    Effect.sync(() => `t${count++}`)
  )
  const object = Effect.fnUntraced(function* (key: string, body: Uint8Array) {
    yield* composition.object(yield* storage.put({ key, body, ...temporary }))
  })
  return { composition, object }
})

const Count = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1_200 }))

it.effect.prop(
  "has the bytes of its parts in order, however many, with at most 32 sources for each object",
  { count: Count },
  ({ count }) =>
    Effect.gen(function* () {
      const store = MemoryStorage.make(64 * 1024 * 1024)
      const most = { sources: 0 }
      const { composition, object } = yield* make({
        ...store,
        compose: (made, sources) => {
          most.sources = Math.max(most.sources, sources.length)
          return store.compose(made, sources)
        }
      })
      const parts = [noise(44, 1)]
      yield* composition.bytes(noise(44, 1))
      for (let n = 0; n < count; n++) {
        const body = noise(1 + (n % 7), n)
        yield* object(`c${n}`, body)
        parts.push(body)
        if (n % 10 !== 0) continue
        yield* composition.silence(n)
        parts.push(Buffer.alloc(n))
      }
      const head = yield* composition.finish(target)
      const whole = Buffer.concat(parts)
      assert.isTrue(whole.equals(yield* Stream.mkUint8Array(store.get("target"))))
      assert.deepStrictEqual([head.size, head.metadata], [whole.length, target.metadata])
      assert.isAtMost(most.sources, 32)
    }).pipe(Effect.provide(bulkheads)),
  { arbitrary: { runs: 8 } }
)

it.effect("has long silence without an object of that size", () =>
  Effect.gen(function* () {
    const store = MemoryStorage.make(64 * 1024 * 1024)
    const sizes: Array<number> = []
    const { composition } = yield* make({
      ...store,
      put: (object) => {
        sizes.push(object.body instanceof Uint8Array ? object.body.length : object.body.size)
        return store.put(object)
      }
    })
    const length = 9 * 1024 * 1024 + 6
    yield* composition.silence(length)
    const head = yield* composition.finish(target)
    assert.strictEqual(head.size, length)
    assert.deepStrictEqual(sizes, [1024 * 1024, 6])
  }).pipe(Effect.provide(bulkheads))
)

it.effect("fails if the store's object has other bytes than its parts", () =>
  Effect.gen(function* () {
    const store = MemoryStorage.make(1024 * 1024)
    const { composition, object } = yield* make({
      ...store,
      // As if a source had been damaged after its checksum was recorded.
      compose: (made, sources) => store.compose(made, sources.toReversed())
    })
    yield* object("a", noise(9, 1))
    yield* object("b", noise(9, 2))
    const failure = yield* Effect.flip(composition.finish(target))
    assert.strictEqual(failure._tag, "Miscomposed")
  }).pipe(Effect.provide(bulkheads))
)
