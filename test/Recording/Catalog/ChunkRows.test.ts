/** What the database says of chunks. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Option, Redacted, References, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { Peaks } from "../../../src/Audio.ts"
import { ChunkRows } from "../../../src/Recording/Catalog/ChunkRows.ts"
import { minKey, maxKey } from "../../../src/Recording/Catalog/IndexChange.ts"
import { JournalChunk } from "../../../src/Recording/Journal/JournalChunk.ts"
import { Protection } from "../../../src/Encryption.ts"
import { ProtectionConfig } from "../../../src/Encryption/ProtectionConfig.ts"
import * as Postgres from "../../support/Postgres.ts"
import { newId, ramp, recordingConfig } from "../support/TestNode.ts"

const secret = (byte: number) => Buffer.alloc(32, byte).toString("base64")

/** The rows as a node sees them that has these master secrets. */
const rowsWith = (...secrets: ReadonlyArray<string>) =>
  Layer.fresh(ChunkRows.layer).pipe(
    Layer.provide(Layer.fresh(Protection.layer)),
    Layer.provide([
      Layer.succeed(ProtectionConfig, {
        keys: 10,
        level: secrets.length > 0 ? "enhanced" : "standard",
        masterSecrets: secrets.length > 0 ? Option.some(Redacted.make(secrets.join(","))) : Option.none()
      }),
      recordingConfig()
    ])
  )

const world = rowsWith(secret(1)).pipe(
  Layer.provideMerge(Postgres.layer),
  Layer.provideMerge(Layer.succeed(References.MinimumLogLevel, "None"))
)

/** A second of 8 kHz, all of it durable. */
const chunk = (conversation: string, start: number, uid = "u"): JournalChunk => {
  const made = new JournalChunk({ id: newId(), uid, conversation, start, sampleRate: 8000, codec: "pcm16" }, 0)
  made.durable = 16_000
  made.durableSamples = 8000
  return made
}

const object = (key: string) => ({ key, bytes: 16_032, crc32c: 0xffff_fffe, peaks: undefined })

layer(world, { excludeTestServices: true })("the rows of chunks", (it) => {
  it.effect("hold the object's size and CRC32C as the store returned them", () =>
    Effect.gen(function* () {
      const rows = yield* ChunkRows
      yield* rows.insertStored(chunk("sums", 1), object("a"))
      yield* rows.insertLost(chunk("sums", 2))
      assert.deepStrictEqual(
        (yield* Stream.runCollect(rows.within("u", "sums", { from: 0, to: 10 }))).map(({ object, state }) => [
          state,
          object
        ]),
        [
          ["stored", { bytes: 16_032, crc32c: 0xffff_fffe }],
          ["lost", undefined]
        ]
      )
    })
  )

  it.effect("append an event of lost audio with the row, once, and none of stored audio", () =>
    Effect.gen(function* () {
      const rows = yield* ChunkRows
      const sql = yield* SqlClient.SqlClient
      const endpoint = "00000000-0000-7000-8000-000000000001"
      yield* sql`
        insert into webhook_endpoints (id, uid, url, types, description, is_enabled, header_names)
        values (${endpoint}::uuid, 'loser', 'https://example.com/', '{audio.lost}', '', true, '{}')`
      yield* sql`
        insert into webhook_subscriptions (uid, type, endpoint_id) values ('loser', 'audio.lost', ${endpoint}::uuid)`
      const lost = chunk("gone", 3, "loser")
      yield* rows.insertLost(lost)
      yield* rows.insertLost(lost)
      yield* rows.insertStored(chunk("gone", 4, "loser"), object("k"))
      const found = yield* sql<{ readonly body: string }>`
        select body from events join webhook_deliveries on event_id = id
        where endpoint_id = ${endpoint}::uuid and uid = 'loser' and conversation_id = 'gone'`
      assert.deepStrictEqual(
        found.map(({ body }) => ({ ...JSON.parse(body), timestamp: undefined })),
        [
          {
            type: "audio.lost",
            timestamp: undefined,
            data: { uid: "loser", conversation_id: "gone", started_at: "1970-01-01T00:00:03.000Z", duration: 1 }
          }
        ]
      )
    })
  )

  it.effect("say stored for a chunk that was recorded both as lost and as stored, in either order", () =>
    Effect.gen(function* () {
      const rows = yield* ChunkRows
      const [late, early] = [chunk("wins", 1), chunk("wins", 2)]
      yield* rows.insertLost(late)
      assert.deepStrictEqual([...(yield* rows.existing([late])).values()], [{ samples: 8000, isLost: true }])
      yield* rows.insertStored(late, object("a"))
      yield* rows.insertStored(early, object("b"))
      yield* rows.insertLost(early)
      const found = yield* Stream.runCollect(rows.within("u", "wins", { from: 0, to: 10 }))
      assert.deepStrictEqual(
        found.map(({ key, object, state }) => [state, key, object?.bytes]),
        [
          ["stored", "a", 16_032],
          ["stored", "b", 16_032]
        ]
      )
      const stored = { samples: 8000, isLost: false }
      assert.deepStrictEqual([...(yield* rows.existing([late, early])).values()], [stored, stored])
    })
  )

  it.effect("are found by any span they overlap, page by page", () =>
    Effect.gen(function* () {
      const rows = yield* ChunkRows
      for (let start = 0; start < 250; start++) yield* rows.insertStored(chunk("span", start), object(`${start}`))
      yield* rows.insertLost(chunk("span", 250))
      const starts = (from: number, to: number, uid = "u") =>
        Stream.runCollect(rows.within(uid, "span", { from, to })).pipe(
          Effect.map((found) => found.map(({ start }) => start))
        )
      assert.deepStrictEqual(yield* starts(3, 5), [3, 4])
      assert.deepStrictEqual(yield* starts(3.5, 4.5), [3, 4])
      assert.deepStrictEqual(yield* starts(250.9, 300), [250])
      assert.deepStrictEqual(yield* starts(251, 300), [])
      assert.deepStrictEqual(
        yield* starts(0, 1000),
        Array.from({ length: 251 }, (_, index) => index)
      )
      assert.deepStrictEqual(yield* starts(3, 5, "v"), [])
    })
  )

  it.effect("count the chunks of a conversation that lie later than their stamps", () =>
    Effect.gen(function* () {
      const rows = yield* ChunkRows
      const sql = yield* SqlClient.SqlClient
      for (const shift of [0, 2.5, 60]) {
        const shifted = chunk("shifts", 1 + shift)
        shifted.addClockShift(shift)
        yield* rows.insertStored(shifted, object(`shift-${shift}`))
      }
      const count = sql`select clock_shifts::int as n from conversations where uid = 'u' and id = 'shifts'`
      assert.deepStrictEqual(yield* count, [{ n: 2 }])
      assert.deepStrictEqual(
        yield* sql`select clock_shift as s from chunks where conversation_id = 'shifts' order by start_at`,
        [{ s: 0 }, { s: 2.5 }, { s: 60 }]
      )
    })
  )

  it.effect("are found by id at any start, and only by their user", () =>
    Effect.gen(function* () {
      const rows = yield* ChunkRows
      const made = [chunk("one", 1_700_000_000.123_456_7), chunk("one", 1_700_000_000.123_456_7), chunk("one", 5)]
      for (const [index, each] of made.entries()) yield* rows.insertStored(each, object(`k${index}`))
      for (const [index, each] of made.entries()) {
        const found = Option.getOrThrow(yield* rows.find(each))
        assert.deepStrictEqual([found.id, found.key], [each.id, `k${index}`])
        assert.deepStrictEqual(
          [found],
          (yield* Stream.runCollect(rows.within("u", "one", { from: 0, to: Infinity }))).filter(
            ({ id }) => id === found.id
          )
        )
        assert.isTrue(Option.isNone(yield* rows.find({ ...each, uid: "v" })))
      }
      const missing = chunk("one", 5)
      assert.isTrue(Option.isNone(yield* rows.find(missing)))
    })
  )

  it.effect("hold encrypted peaks of encrypted audio, and decrypt them with any of the secrets", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const peaks = Peaks.peaksOf(ramp(8000), 8000)
      yield* ChunkRows.use((rows) =>
        rows.insertStored(chunk("p", 1), { ...object("chunks/u/p/1.000.batch.enc"), peaks })
      )
      const [row] = yield* sql<{ readonly clear: Buffer | null; readonly sealed: Buffer }>`
        select peaks as clear, sealed_peaks as sealed from chunks where conversation_id = 'p'`
      assert.isNull(row?.clear)
      assert.isFalse(row?.sealed.includes(Buffer.from(peaks.subarray(2))))
      const drawn = Effect.flatMap(ChunkRows, (rows) =>
        Stream.runCollect(rows.peaks({ uid: "u", conversation: "p" }, minKey, maxKey))
      ).pipe(Effect.map((all) => all.flatMap(({ peaks }) => (peaks === undefined ? [] : [Uint8Array.from(peaks)]))))
      assert.deepStrictEqual(yield* drawn, [peaks])
      const rotated = rowsWith(secret(2), secret(1))
      assert.deepStrictEqual(yield* drawn.pipe(Effect.provide(rotated)), [peaks])
      assert.deepStrictEqual(yield* drawn.pipe(Effect.provide(rowsWith(secret(2)))), [])
      assert.deepStrictEqual(yield* drawn.pipe(Effect.provide(rowsWith())), [])
      yield* sql`update chunks set sealed_peaks = null, peaks = ${peaks} where conversation_id = 'p'`
      assert.deepStrictEqual(yield* drawn.pipe(Effect.provide(rowsWith())), [peaks], "as it was stored before")
    })
  )

  it.effect("hold plain peaks of unencrypted audio", () =>
    Effect.gen(function* () {
      const rows = yield* ChunkRows
      const peaks = Peaks.peaksOf(ramp(8000), 8000)
      yield* rows.insertStored(chunk("q", 1), { ...object("chunks/u/q/1.000.batch.bin"), peaks })
      const all = yield* Stream.runCollect(rows.peaks({ uid: "u", conversation: "q" }, minKey, maxKey)).pipe(
        Effect.provide(rowsWith())
      )
      assert.deepStrictEqual(
        all.flatMap(({ peaks }) => (peaks === undefined ? [] : [Uint8Array.from(peaks)])),
        [peaks]
      )
    })
  )

  it.effect("tell which of the latest chunks are placed after their timestamps", () =>
    Effect.gen(function* () {
      const rows = yield* ChunkRows
      const [once, twice] = [chunk("placed later", 5), chunk("placed later", 7)]
      once.addClockShift(1.5)
      for (const shift of [4, 2]) twice.addClockShift(shift)
      for (const one of [chunk("placed later", 1), once, twice]) yield* rows.insertStored(one, object(one.id))
      const shifted = yield* rows.shifted("u", "placed later")
      assert.deepStrictEqual(
        shifted.map(({ clockShift, end, start }) => [start, end, clockShift]),
        [
          [7, 8, 4],
          [7, 8, 2],
          [5, 6, 1.5]
        ]
      )
      const { clockShift } = yield* rows.tail("u", "placed later")
      assert.strictEqual(clockShift, 2)
      for (let index = 0; index < 64; index++) yield* rows.insertLost(chunk("placed later", 10 + index))
      assert.deepStrictEqual(yield* rows.shifted("u", "placed later"), [])
    })
  )
})
