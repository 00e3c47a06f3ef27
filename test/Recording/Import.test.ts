/** Recordings that are in the store already are indexed as they are, and play. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Option, Redacted, References, Stream } from "effect"
import { StorageRead } from "../../src/Bulkhead.ts"
import { BulkheadConfig } from "../../src/Bulkhead/BulkheadConfig.ts"
import { Import } from "../../src/Recording.ts"
import { ChunkRows } from "../../src/Recording/ChunkRows.ts"
import { StoredAudio } from "../../src/Recording/StoredAudio.ts"
import { Protection, Storage } from "../../src/Storage.ts"
import * as Cipher from "../../src/Storage/Cipher.ts"
import * as MemoryStorage from "../../src/Storage/MemoryStorage.ts"
import { ProtectionConfig } from "../../src/Storage/ProtectionConfig.ts"
import * as Postgres from "../support/Postgres.ts"
import { container, packets, samples, toneShare } from "./support/OpusTone.ts"
import { ramp, recordingConfig } from "./support/TestNode.ts"

const secret = Buffer.alloc(32, 1)

const world = Layer.mergeAll(Import.layer, StoredAudio.layer, ChunkRows.layer).pipe(
  Layer.provideMerge(Layer.mergeAll(MemoryStorage.layer, Protection.layer, Postgres.layer)),
  Layer.provide([
    Layer.succeed(ProtectionConfig, {
      level: "standard",
      masterSecrets: Option.some(Redacted.make(secret.toString("base64")))
    }),
    StorageRead.layer.pipe(Layer.provide(BulkheadConfig.layer)),
    recordingConfig({ decodedBytes: 100_000 }),
    Layer.succeed(References.MinimumLogLevel, "None")
  ])
)

const put = (key: string, body: Uint8Array, metadata: Record<string, string> = {}) =>
  Storage.use((storage) => storage.put({ key, body, contentType: "application/octet-stream", metadata }))

const seal = (uid: string, ...parts: ReadonlyArray<Uint8Array>): Uint8Array =>
  Buffer.concat(
    parts.map((part) => {
      const sealed = Buffer.alloc(4 + 28 + part.length)
      sealed.writeUInt32BE(28 + part.length)
      Cipher.seal(Cipher.deriveKey(secret, uid), part, sealed.subarray(4))
      return sealed
    })
  )

/** All pages. */
const importAll = Effect.fnUntraced(function* (uid: string) {
  const { page } = yield* Import
  const total = { added: 0, known: 0, odd: 0, skipped: new Array<{ readonly key: string; readonly reason: string }>() }
  let after = Option.some("")
  while (Option.isSome(after)) {
    const { added, known, next, odd, skipped } = yield* page(uid, { after: after.value, sampleRate: 16_000 })
    total.added += added
    total.known += known
    total.odd += odd
    total.skipped.push(...skipped)
    after = next
  }
  return total
})

const chunksOf = (uid: string, conversation: string) => ChunkRows.use((rows) => rows.of(uid, [conversation]))

const heard = Effect.fnUntraced(function* (uid: string, conversation: string) {
  const stored = yield* StoredAudio
  const chunks = yield* chunksOf(uid, conversation)
  return yield* Effect.forEach(chunks, (chunk) => Stream.mkUint8Array(stored.read(chunk, 0, chunk.samples * 2)))
})

layer(world, { excludeTestServices: true })("an import", (it) => {
  it.effect("makes every form of chunk play, at its name's start and as long as it decodes to", () =>
    Effect.gen(function* () {
      const pcm = ramp(1_000)
      const tone = container(samples * 2 - 100)
      yield* put("chunks/a/c/100.250.bin", pcm)
      yield* put("chunks/a/c/101.000.enc", seal("a", pcm.subarray(0, 3), pcm.subarray(3, 1_999), pcm.subarray(1_999)))
      yield* put("chunks/a/c/102.000-107.500.batch.bin", pcm)
      yield* put("chunks/a/c/103.000.batch.enc", seal("a", pcm))
      yield* put("chunks/a/o/104.000.opus", tone)
      yield* put("chunks/a/o/105.000.opus.enc", seal("a", tone.subarray(0, 100), tone.subarray(100)))
      assert.deepStrictEqual(yield* importAll("a"), { added: 6, known: 0, odd: 0, skipped: [] })
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

  it.effect("takes exact spans from the metadata, and reads nothing then", () =>
    Effect.gen(function* () {
      const exact = { v2_start: "1700000000.1234567", v2_samples: "500", v2_sample_rate: "8000", codec: "pcm16" }
      yield* put("chunks/b/c/1700000000.123.batch.bin", ramp(500), exact)
      yield* put("chunks/b/c/1700000001.123.batch.enc", Buffer.from("never looked at"), { ...exact, v2_start: "9" })
      assert.deepStrictEqual(yield* importAll("b"), { added: 2, known: 0, odd: 0, skipped: [] })
      assert.deepStrictEqual(
        (yield* chunksOf("b", "c")).map(({ sampleRate, samples, start }) => [start, samples, sampleRate]),
        [
          [9, 500, 8_000],
          [1_700_000_000.123_456_7, 500, 8_000]
        ]
      )
    })
  )

  it.effect("infers the span where the metadata makes no sense", () =>
    Effect.gen(function* () {
      for (const [i, metadata] of [
        { v2_start: "soon", v2_samples: "1", v2_sample_rate: "8000" },
        { v2_start: "1", v2_samples: "0.5", v2_sample_rate: "8000" },
        { v2_start: "1", v2_samples: "1", v2_sample_rate: "1" },
        { v2_start: "1", v2_samples: "1" }
      ].entries()) {
        yield* put(`chunks/m/c/${i}.000.bin`, ramp(70), metadata as Record<string, string>)
      }
      assert.strictEqual((yield* importAll("m")).added, 4)
      assert.deepStrictEqual(
        (yield* chunksOf("m", "c")).map(({ samples, start }) => [start, samples]),
        [0, 1, 2, 3].map((start) => [start, 70])
      )
    })
  )

  it.effect("drops and counts the odd byte at the end of a chunk", () =>
    Effect.gen(function* () {
      const odd = Buffer.concat([ramp(10), Buffer.from([1])])
      yield* put("chunks/d/c/1.000.bin", odd)
      yield* put("chunks/d/c/2.000.enc", seal("d", odd))
      assert.deepStrictEqual(yield* importAll("d"), { added: 2, known: 0, odd: 2, skipped: [] })
      for (const audio of yield* heard("d", "c")) assert.isTrue(Buffer.from(audio).equals(ramp(10)))
    })
  )

  it.effect("names what can't be used, and why, and goes on", () =>
    Effect.gen(function* () {
      const cut = container(0).subarray(0, -1)
      const bad = {
        "chunks/e/c/1.000.bin": new Uint8Array(0),
        "chunks/e/c/2.000.enc": seal("e", ramp(10)).subarray(1),
        "chunks/e/c/3.000.enc": seal("f", ramp(10)),
        "chunks/e/c/4.000.opus": cut,
        "chunks/e/c/5.000.opus.enc": seal("e", cut),
        "chunks/e/c/6.000.opus": Buffer.alloc(5),
        "chunks/e/c/7.000.enc": new Uint8Array(100_001),
        "chunks/e/c/8.000.opus": container(
          0,
          Array.from({ length: 200 }, () => packets[0] ?? Buffer.alloc(0))
        ),
        "chunks/e/c/9.000.mp3": ramp(10),
        "chunks/e/c/x.bin": ramp(10),
        "chunks/e/c/1-2.bin": ramp(10),
        "chunks/e/c/d/1.000.bin": ramp(10),
        "chunks/e/1.000.bin": ramp(10)
      }
      for (const [key, bytes] of Object.entries(bad)) yield* put(key, bytes)
      yield* put("chunks/e/c/short.bin", ramp(1))
      const exact = { v2_start: "1", v2_samples: "11", v2_sample_rate: "8000" }
      yield* put("chunks/e/c/10.000.bin", ramp(10), exact)
      yield* put("chunks/e/c/11.000.bin", ramp(10))
      const { added, skipped } = yield* importAll("e")
      assert.strictEqual(added, 1)
      assert.deepStrictEqual(
        skipped.map(({ key }) => key),
        [...Object.keys(bad), "chunks/e/c/short.bin", "chunks/e/c/10.000.bin"].toSorted()
      )
      for (const { reason } of skipped) assert.isNotEmpty(reason)
    })
  )

  it.effect("changes nothing when it is done again, and finds what is new", () =>
    Effect.gen(function* () {
      yield* put("chunks/g/c/1.000.bin", ramp(10))
      yield* importAll("g")
      const before = yield* chunksOf("g", "c")
      yield* put("chunks/g/c/2.000.bin", ramp(10))
      assert.deepStrictEqual(yield* importAll("g"), { added: 1, known: 1, odd: 0, skipped: [] })
      assert.deepStrictEqual(yield* importAll("g"), { added: 0, known: 2, odd: 0, skipped: [] })
      assert.deepStrictEqual((yield* chunksOf("g", "c")).slice(0, 1), before)
    })
  )

  it.effect("goes through more than a page, and takes nothing of another user", () =>
    Effect.gen(function* () {
      yield* Effect.forEach(
        Array.from({ length: 1_010 }, (_, i) => i),
        (i) => put(`chunks/h/c${i % 7}/${i}.000.bin`, ramp(1))
      )
      yield* put("chunks/h2/c/1.000.bin", ramp(1))
      assert.deepStrictEqual(yield* importAll("h"), { added: 1_010, known: 0, odd: 0, skipped: [] })
      assert.deepStrictEqual(yield* importAll("none"), { added: 0, known: 0, odd: 0, skipped: [] })
      assert.strictEqual((yield* importAll("h2")).added, 1)
    })
  )
})
