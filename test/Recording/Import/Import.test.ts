/** Recordings that are in the store already are indexed as they are, and play. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Option, Redacted, References, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { Peaks } from "../../../src/Audio.ts"
import { StorageBulkheads } from "../../../src/Bulkhead.ts"
import { BulkheadConfig } from "../../../src/Bulkhead/BulkheadConfig.ts"
import { Opus } from "../../../src/Opus.ts"
import { Import } from "../../../src/Recording.ts"
import { ConversationRows } from "../../../src/Recording/Catalog/ConversationRows.ts"
import type { Skipped } from "../../../src/Recording/Import/Inspection.ts"
import { ChunkRows } from "../../../src/Recording/Catalog/ChunkRows.ts"
import { StoredAudio } from "../../../src/Recording/Read/StoredAudio.ts"
import { Storage } from "../../../src/Storage.ts"
import { Protection } from "../../../src/Encryption.ts"
import * as Cipher from "../../../src/Encryption/Cipher.ts"
import * as MemoryStorage from "../../../src/Storage/MemoryStorage.ts"
import { ProtectionConfig } from "../../../src/Encryption/ProtectionConfig.ts"
import { minKey, maxKey } from "../../../src/Recording/Catalog/IndexChange.ts"
import * as Postgres from "../../support/Postgres.ts"
import { container, packets, samples, toneShare } from "../support/OpusTone.ts"
import { ramp, recordingConfig } from "../support/TestNode.ts"

const secret = Buffer.alloc(32, 1)

/** Keys that were read since the last look. */
let reads: Array<string> = []
const takeReads = () => reads.splice(0).toSorted()

/** Gives what it reads in pieces of an odd number of bytes. */
const crumbling = Layer.effect(
  Storage,
  Effect.map(Storage, (storage) => ({
    ...storage,
    get: (key, range) => {
      reads.push(key)
      return Stream.flatMap(storage.get(key, range), (bytes) => {
        const size = 1 + 2 * (bytes.length % 700)
        const count = Math.ceil(bytes.length / size)
        return Stream.fromIterable(
          Array.from({ length: count }, (_, index) => bytes.slice(index * size, (index + 1) * size))
        )
      })
    }
  }))
).pipe(Layer.provide(MemoryStorage.layer))

const world = Layer.mergeAll(
  Import.layer,
  Layer.provide(StoredAudio.layer, Opus.layer),
  ChunkRows.layer,
  ConversationRows.layer
).pipe(
  Layer.provideMerge(Layer.mergeAll(crumbling, Protection.layer, Postgres.layer)),
  Layer.provide([
    Layer.succeed(ProtectionConfig, {
      keys: 10,
      level: "standard",
      masterSecrets: Option.some(Redacted.make(secret.toString("base64")))
    }),
    Layer.provideMerge(StorageBulkheads.layer, BulkheadConfig.layer),
    recordingConfig({ decodedBytes: 100_000 }),
    Layer.succeed(References.MinimumLogLevel, "None")
  ])
)

const put = (key: string, body: Uint8Array, metadata: Record<string, string> = {}) =>
  Storage.use((storage) => storage.put({ key, body, contentType: "application/octet-stream", metadata }))

const encrypted = (uid: string, ...parts: ReadonlyArray<Uint8Array>): Uint8Array =>
  Buffer.concat(
    parts.map((part) => {
      const record = Buffer.alloc(4 + 28 + part.length)
      record.writeUInt32BE(28 + part.length)
      Cipher.encrypt(Cipher.deriveKey(secret, uid), part, record.subarray(4))
      return record
    })
  )

/** So quiet that audio which is a byte off is loud. */
const quiet = (samples: number): Uint8Array =>
  new Uint8Array(Int16Array.from({ length: samples }, (_, index) => index % 5).buffer)

const none = { skipped: [], ignored: [] }

/** All pages. */
const importAll = Effect.fnUntraced(function* (uid: string, waveforms = false) {
  const { page } = yield* Import
  const total = { added: 0, known: 0, odd: 0, undrawn: 0, skipped: new Array<Skipped>(), ignored: new Array<string>() }
  let after = Option.some("")
  while (Option.isSome(after)) {
    const { added, ignored, known, next, odd, skipped, undrawn } = yield* page(uid, {
      after: after.value,
      sampleRate: 16_000,
      waveforms
    })
    total.added += added
    total.known += known
    total.odd += odd
    total.undrawn += undrawn
    total.skipped.push(...skipped)
    total.ignored.push(...ignored)
    after = next
  }
  return total
})

const chunksOf = (uid: string, conversation: string) =>
  ChunkRows.use((rows) => Stream.runCollect(rows.within(uid, conversation, { from: 0, to: Infinity })))

const heard = Effect.fnUntraced(function* (uid: string, conversation: string) {
  const stored = yield* StoredAudio
  const chunks = yield* chunksOf(uid, conversation)
  return yield* Effect.forEach(chunks, (chunk) => Stream.mkUint8Array(stored.read(chunk, 0, chunk.samples * 2)))
})

/** Of each of the conversation's chunks, by start. */
const peaksOf = Effect.fnUntraced(function* (uid: string, conversation: string) {
  const rows = yield* ChunkRows
  const drawn = yield* Stream.runCollect(rows.peaks({ uid, conversation }, minKey, maxKey))
  return drawn.map(({ peaks }) => peaks && Uint8Array.from(peaks))
})

layer(world, { excludeTestServices: true })("an import", (it) => {
  it.effect("imports every form of chunk at its name's start, with its decoded length", () =>
    Effect.gen(function* () {
      const pcm = ramp(1_000)
      const tone = container(samples * 2 - 100)
      yield* put("chunks/a/c/100.250.bin", pcm)
      yield* put(
        "chunks/a/c/101.000.enc",
        encrypted("a", pcm.subarray(0, 3), pcm.subarray(3, 1_999), pcm.subarray(1_999))
      )
      yield* put("chunks/a/c/102.000-107.500.batch.bin", pcm)
      yield* put("chunks/a/c/103.000.batch.enc", encrypted("a", pcm))
      yield* put("chunks/a/o/104.000.opus", tone)
      yield* put("chunks/a/o/105.000.opus.enc", encrypted("a", tone.subarray(0, 100), tone.subarray(100)))
      assert.deepStrictEqual(yield* importAll("a"), { added: 6, known: 0, odd: 0, undrawn: 4, ...none })
      const spans = (yield* chunksOf("a", "c")).map(({ codec, sampleRate, samples, start }) => [
        start,
        samples,
        sampleRate,
        codec
      ])
      assert.deepStrictEqual(spans, [
        [100.25, 1_000, 16_000, "pcm16"],
        [101, 1_000, 16_000, "pcm16"],
        [102, 1_000, 16_000, "pcm16"],
        [103, 1_000, 16_000, "pcm16"]
      ])
      for (const audio of yield* heard("a", "c")) assert.isTrue(Buffer.from(audio).equals(pcm))
      const [opus, sealed] = yield* heard("a", "o")
      assert.strictEqual(opus?.length, samples * 2 - 100)
      assert.isAbove(toneShare(opus ?? new Uint8Array(0), 1_000, 7_000), 0.95)
      assert.deepStrictEqual(sealed, opus)
      assert.deepStrictEqual(
        (yield* chunksOf("a", "o")).map(({ codec, start }) => [start, codec]),
        [
          [104, "opus"],
          [105, "opus"]
        ]
      )
    })
  )

  it.effect("ends an imported conversation on the day of its last audio", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      // 30 seconds on each side of midnight.
      yield* put("chunks/days/c/1700006370.000.bin", ramp(60 * 16_000))
      yield* put("chunks/days/c/1600000000.000.bin", ramp(16_000))
      yield* importAll("days")
      const ended = yield* sql`SELECT ended_on::text AS day FROM conversations WHERE uid = 'days'`
      assert.deepStrictEqual(ended, [{ day: "2023-11-15" }])
    })
  )

  it.effect("reads exact spans from the metadata, without reading the audio", () =>
    Effect.gen(function* () {
      const exact = { v2_start: "1700000000.1234567", v2_samples: "500", v2_sample_rate: "8000", codec: "pcm16" }
      yield* put("chunks/b/c/1700000000.123.batch.bin", ramp(500), exact)
      yield* put("chunks/b/c/1700000001.123.batch.enc", Buffer.from("never looked at"), { ...exact, v2_start: "9" })
      assert.deepStrictEqual(yield* importAll("b"), { added: 2, known: 0, odd: 0, undrawn: 2, ...none })
      assert.deepStrictEqual(
        (yield* chunksOf("b", "c")).map(({ sampleRate, samples, start }) => [start, samples, sampleRate]),
        [
          [9, 500, 8_000],
          [1_700_000_000.123_456_7, 500, 8_000]
        ]
      )
    })
  )

  it.effect("infers the span when the metadata is invalid", () =>
    Effect.gen(function* () {
      for (const [i, metadata] of [
        { v2_start: "soon", v2_samples: "1", v2_sample_rate: "8000" },
        { v2_start: "1", v2_samples: "0.5", v2_sample_rate: "8000" },
        { v2_start: "1", v2_samples: "1", v2_sample_rate: "1" },
        { v2_start: "1e300", v2_samples: "1", v2_sample_rate: "8000" },
        { v2_start: "1", v2_samples: "1e300", v2_sample_rate: "8000" },
        { v2_start: "1", v2_samples: "1" }
      ].entries()) {
        yield* put(`chunks/m/c/${i}.000.bin`, ramp(70), metadata as Record<string, string>)
      }
      assert.strictEqual((yield* importAll("m")).added, 6)
      assert.deepStrictEqual(
        (yield* chunksOf("m", "c")).map(({ samples, start }) => [start, samples]),
        [0, 1, 2, 3, 4, 5].map((start) => [start, 70])
      )
    })
  )

  it.effect("drops and counts the odd byte at the end of a chunk", () =>
    Effect.gen(function* () {
      const odd = Buffer.concat([ramp(10), Buffer.from([1])])
      yield* put("chunks/d/c/1.000.bin", odd)
      yield* put("chunks/d/c/2.000.enc", encrypted("d", odd))
      assert.deepStrictEqual(yield* importAll("d"), { added: 2, known: 0, odd: 2, undrawn: 1, ...none })
      for (const audio of yield* heard("d", "c")) assert.isTrue(Buffer.from(audio).equals(ramp(10)))
    })
  )

  it.effect("names unusable objects with the reason, and continues", () =>
    Effect.gen(function* () {
      const cut = container(0).subarray(0, -1)
      const bad = {
        "chunks/e/c/1.000.bin": new Uint8Array(0),
        "chunks/e/c/2.000.enc": encrypted("e", ramp(10)).subarray(1),
        "chunks/e/c/3.000.enc": encrypted("f", ramp(10)),
        "chunks/e/c/4.000.opus": cut,
        "chunks/e/c/5.000.opus.enc": encrypted("e", cut),
        "chunks/e/c/6.000.opus": Buffer.alloc(5),
        "chunks/e/c/7.000.enc": new Uint8Array(100_001),
        "chunks/e/c/8.000.opus": container(
          0,
          Array.from({ length: 200 }, () => packets[0] ?? Buffer.alloc(0))
        )
      }
      for (const [key, bytes] of Object.entries(bad)) yield* put(key, bytes)
      const exact = { v2_start: "1", v2_samples: "11", v2_sample_rate: "8000" }
      yield* put("chunks/e/c/10.000.bin", ramp(10), exact)
      yield* put("chunks/e/c/11.000.bin", ramp(10))
      const others = ["c/9.000.mp3", "c/x.bin", "c/1-2.bin", "c/d/1.000.bin", "1.000.bin", "c/short.bin"]
      yield* Effect.forEach(others, (name) => put(`chunks/e/${name}`, ramp(1)))
      const { added, ignored, skipped } = yield* importAll("e")
      assert.strictEqual(added, 1)
      assert.deepStrictEqual(
        skipped.map(({ key }) => key),
        [...Object.keys(bad), "chunks/e/c/10.000.bin"].toSorted()
      )
      assert.deepStrictEqual(ignored, others.map((name) => `chunks/e/${name}`).toSorted())
      for (const { reason } of skipped) assert.isNotEmpty(reason)
    })
  )

  it.effect("changes nothing when it is repeated, and finds new objects", () =>
    Effect.gen(function* () {
      yield* put("chunks/g/c/1.000.bin", ramp(10))
      yield* importAll("g")
      const before = yield* chunksOf("g", "c")
      yield* put("chunks/g/c/2.000.bin", ramp(10))
      assert.deepStrictEqual(yield* importAll("g"), { added: 1, known: 1, odd: 0, undrawn: 2, ...none })
      assert.deepStrictEqual(yield* importAll("g"), { added: 0, known: 2, odd: 0, undrawn: 2, ...none })
      assert.deepStrictEqual((yield* chunksOf("g", "c")).slice(0, 1), before)
    })
  )

  it.effect("imports several pages, and nothing of another user", () =>
    Effect.gen(function* () {
      yield* Effect.forEach(
        Array.from({ length: 1_010 }, (_, i) => i),
        (i) => put(`chunks/h/c${i % 7}/${i}.000.bin`, ramp(1))
      )
      yield* put("chunks/h2/c/1.000.bin", ramp(1))
      assert.deepStrictEqual(yield* importAll("h"), { added: 1_010, known: 0, odd: 0, undrawn: 1_010, ...none })
      assert.deepStrictEqual(yield* importAll("none"), { added: 0, known: 0, odd: 0, undrawn: 0, ...none })
      assert.strictEqual((yield* importAll("h2")).added, 1)
    })
  )

  it.effect("computes waveforms of what it reads, on request also of known chunks, and reads nothing twice", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const exact = { v2_start: "107", v2_samples: "990", v2_sample_rate: "8000" }
      yield* put("chunks/w/c/101.000.bin", quiet(10_000))
      yield* put("chunks/w/c/102.000.enc", encrypted("w", ramp(1_000, 7), ramp(1_000, 1_007)))
      yield* put("chunks/w/c/103.000.bin", Buffer.concat([quiet(1_003), Buffer.from([9])]))
      yield* put("chunks/w/c/104.000.opus", container(samples * 2))
      yield* put("chunks/w/c/105.000.opus.enc", encrypted("w", container(samples * 2)))
      yield* put("chunks/w/c/107.000.batch.bin", quiet(1_000), exact)
      takeReads()
      assert.strictEqual((yield* importAll("w")).undrawn, 5)
      assert.deepStrictEqual(takeReads(), [
        "chunks/w/c/102.000.enc",
        "chunks/w/c/104.000.opus",
        "chunks/w/c/105.000.opus.enc"
      ])
      assert.strictEqual((yield* importAll("w")).known, 6)
      assert.deepStrictEqual(takeReads(), [], "what is known is not looked at again")
      const again = yield* importAll("w", true)
      assert.deepStrictEqual([again.added, again.known, again.undrawn], [0, 6, 0])
      assert.strictEqual(takeReads().length, 5)
      assert.deepStrictEqual((yield* importAll("w", true)).skipped, [])
      assert.deepStrictEqual(takeReads(), [])
      const audio = yield* heard("w", "c")
      const expected: ReadonlyArray<Uint8Array> = (yield* chunksOf("w", "c")).map(({ sampleRate }, index) =>
        Peaks.peaksOf(audio[index] ?? new Uint8Array(0), sampleRate)
      )
      assert.deepStrictEqual<ReadonlyArray<Uint8Array | undefined>>(yield* peaksOf("w", "c"), expected)
      const clear = yield* sql<{ readonly key: string }>`
        select object_key as key from chunks where uid = 'w' and peaks is not null and object_key like '%.enc'`
      assert.deepStrictEqual(clear, [])

      for (const { key } of (yield* Storage.use((storage) => storage.list("chunks/w/"))).objects)
        yield* put(key.replace("/w/", "/w2/"), key.includes(".enc") ? encrypted("w2", ramp(10)) : ramp(10))
      yield* put("chunks/w2/c/108.000.opus", container(samples * 2))
      const at = yield* importAll("w2", true)
      assert.deepStrictEqual([at.added, at.undrawn], [5, 0])
      assert.deepStrictEqual(
        at.skipped.map(({ key }) => key),
        ["chunks/w2/c/104.000.opus", "chunks/w2/c/105.000.opus.enc"]
      )
    })
  )

  it.effect("reports known chunks that it can't read for waveforms, and leaves them unchanged", () =>
    Effect.gen(function* () {
      const exact = { v2_start: "1", v2_samples: "500", v2_sample_rate: "8000" }
      yield* put("chunks/x/c/1.000.batch.enc", Buffer.from("no record"), exact)
      yield* put("chunks/x/c/2.000.batch.enc", encrypted("x", ramp(500)), { ...exact, v2_start: "2" })
      assert.strictEqual((yield* importAll("x")).added, 2)
      const { known, skipped } = yield* importAll("x", true)
      assert.deepStrictEqual(
        [known, skipped.map(({ key, why }) => [key, why])],
        [1, [["chunks/x/c/1.000.batch.enc", "not decrypted"]]]
      )
      assert.lengthOf(yield* chunksOf("x", "c"), 2)
      yield* put("chunks/x/d/3.000.batch.enc", encrypted("x", ramp(400)), { ...exact, v2_start: "3" })
      assert.strictEqual((yield* importAll("x", true)).skipped[1]?.why, "shorter than its metadata says")
    })
  )

  it.effect("lists conversations by their first chunk, in any order of import", () =>
    Effect.gen(function* () {
      const rows = yield* ConversationRows
      yield* rows.ensure("y", "now")
      const order = Effect.map(rows.latest("y", { before: undefined, limit: 10, live: ["now"] }, { limit: 1 }), (all) =>
        all.map(({ id }) => id)
      )
      yield* put("chunks/y/a/1600000000.000.bin", ramp(10))
      yield* put("chunks/y/b/1500000000.000.bin", ramp(10))
      yield* importAll("y")
      assert.deepStrictEqual(yield* order, ["now", "a", "b"])
      yield* put("chunks/y/a/1400000000.000.bin", ramp(10))
      yield* put("chunks/y/b/1700000000.000.bin", ramp(10))
      yield* importAll("y")
      assert.deepStrictEqual(yield* order, ["now", "b", "a"])
    })
  )
})
