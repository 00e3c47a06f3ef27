/** Heads that are known from earlier reads, alone and in the store on disk. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { Storage, type ObjectHead } from "../../../src/Storage.ts"
import * as KnownHeads from "../../../src/Storage/Disk/KnownHeads.ts"
import { bytesOf, object } from "../support/Objects.ts"
import { layer } from "../support/TestDisk.ts"

const key = "chunks/ada/1"
const whole = { start: 0, end: 100 }

const headOf = (name: string): ObjectHead => ({
  key: name,
  size: 4,
  crc32c: 0,
  generation: "1",
  contentType: "audio/wav",
  metadata: {},
  createdAt: new Date(0)
})
const file = { ino: 1, size: 100, ctimeMs: 1 }

it("knows a head only for the file that it was read from", () => {
  const known = KnownHeads.make()
  const head = headOf("a")
  known.add(head, file)
  assert.strictEqual(known.get("a", { ...file }), head)
  for (const other of [{ ino: 2 }, { size: 101 }, { ctimeMs: 1.5 }])
    assert.isUndefined(known.get("a", { ...file, ...other }))
  known.forget("a")
  assert.isUndefined(known.get("a", file))
})

it("forgets the head that was read first beyond its bound", () => {
  const known = KnownHeads.make(2)
  for (const name of ["a", "b", "a", "c"]) known.add(headOf(name), file)
  assert.deepStrictEqual(
    ["a", "b", "c"].map((name) => known.get(name, file)?.key),
    ["a", undefined, "c"]
  )
})

it.effect("reads the same range after the metadata of an object was changed", () =>
  Effect.gen(function* () {
    const storage = yield* Storage
    yield* storage.put(object(key, bytesOf("recorded")))
    assert.deepStrictEqual(yield* storage.read(key, whole), bytesOf("recorded"))
    yield* storage.setMetadata(key, { codec: "pcm16", note: "longer than before" })
    assert.deepStrictEqual(yield* storage.read(key, whole), bytesOf("recorded"))
    assert.deepStrictEqual(yield* storage.read(key, { start: 2, end: 5 }), bytesOf("cor"))
  }).pipe(Effect.provide(layer))
)

it.effect.each(["another", "other bytes of another length"])(
  "reads the new bytes of a key that was removed and created again: %s",
  (text) =>
    Effect.gen(function* () {
      const storage = yield* Storage
      yield* storage.put(object(key, bytesOf("present")))
      assert.deepStrictEqual(yield* storage.read(key, whole), bytesOf("present"))
      yield* storage.remove(key)
      assert.strictEqual((yield* Effect.flip(storage.read(key, whole)))._tag, "ObjectNotFound")
      yield* storage.put(object(key, bytesOf(text)))
      assert.deepStrictEqual(yield* storage.read(key, whole), bytesOf(text))
    }).pipe(Effect.provide(layer))
)
