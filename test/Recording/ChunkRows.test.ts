/** What the database says of chunks. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { ChunkRows } from "../../src/Recording/ChunkRows.ts"
import { LiveChunk, uuidText } from "../../src/Recording/LiveChunk.ts"
import * as Postgres from "../support/Postgres.ts"
import { newId, recordingConfig } from "./support/TestNode.ts"

const world = ChunkRows.layer.pipe(Layer.provide(recordingConfig()), Layer.provideMerge(Postgres.layer))

/** A second of 8 kHz, all of it durable. */
const chunk = (conversation: string, start: number, uid = "u"): LiveChunk => {
  const made = new LiveChunk({ id: newId(), uid, conversation, start, sampleRate: 8000, codec: "pcm16" }, 0)
  made.durable = 16_000
  return made
}

const object = (key: string) => ({ key, bytes: 16_032, crc32c: 0xffff_fffe, peaks: undefined })

layer(world, { excludeTestServices: true })("the rows of chunks", (it) => {
  it.effect("tell the size and the CRC32C of the object, as the store answered them", () =>
    Effect.gen(function* () {
      const rows = yield* ChunkRows
      yield* rows.insertStored(chunk("sums", 1), object("a"))
      yield* rows.insertLost(chunk("sums", 2))
      assert.deepStrictEqual(
        (yield* rows.of("u", ["sums"])).map(({ object, state }) => [state, object]),
        [
          ["stored", { bytes: 16_032, crc32c: 0xffff_fffe }],
          ["lost", undefined]
        ]
      )
    })
  )

  it.effect("are found one by one, at any start, and not by whom they are not", () =>
    Effect.gen(function* () {
      const rows = yield* ChunkRows
      const made = [chunk("one", 1_700_000_000.123_456_7), chunk("one", 1_700_000_000.123_456_7), chunk("one", 5)]
      for (const [index, each] of made.entries()) yield* rows.insertStored(each, object(`k${index}`))
      for (const [index, each] of made.entries()) {
        const found = Option.getOrThrow(yield* rows.find({ ...each, id: uuidText(each.id) }))
        assert.deepStrictEqual([found.id, found.key], [uuidText(each.id), `k${index}`])
        assert.deepStrictEqual(
          [found],
          (yield* rows.of("u", ["one"])).filter(({ id }) => id === found.id)
        )
        assert.isTrue(Option.isNone(yield* rows.find({ ...each, uid: "v", id: uuidText(each.id) })))
      }
      const missing = chunk("one", 5)
      assert.isTrue(Option.isNone(yield* rows.find({ ...missing, id: uuidText(missing.id) })))
    })
  )
})
