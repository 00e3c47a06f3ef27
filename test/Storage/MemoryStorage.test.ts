/** The object store in memory keeps the contract. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import * as MemoryStorage from "../../src/Storage/MemoryStorage.ts"
import { suite } from "./StorageTest.ts"

suite("MemoryStorage", MemoryStorage.layer)

it.effect("fails like a full disk when its capacity is used up, and accepts puts after a removal", () =>
  Effect.gen(function* () {
    const storage = MemoryStorage.make(10)
    const object = (key: string, size: number) => ({
      key,
      body: new Uint8Array(size),
      contentType: "a/b",
      metadata: {}
    })
    yield* storage.put(object("a", 6))
    assert.strictEqual((yield* Effect.flip(storage.put(object("b", 5))))._tag, "StorageUnavailable")
    yield* storage.remove("a")
    yield* storage.put(object("b", 10))
  })
)
