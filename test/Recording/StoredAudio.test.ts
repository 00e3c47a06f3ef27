/** Stored chunks are heard as what was recorded, whatever they are stored as, or not at all. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Option, Redacted, Schema, Stream } from "effect"
import { StorageRead } from "../../src/Bulkhead.ts"
import { BulkheadConfig } from "../../src/Bulkhead/BulkheadConfig.ts"
import type { Chunk } from "../../src/Recording.ts"
import { StoredAudio } from "../../src/Recording/StoredAudio.ts"
import { Protection, Storage } from "../../src/Storage.ts"
import * as Cipher from "../../src/Storage/Cipher.ts"
import * as MemoryStorage from "../../src/Storage/MemoryStorage.ts"
import { ProtectionConfig } from "../../src/Storage/ProtectionConfig.ts"
import { ramp, recordingConfig } from "./support/TestNode.ts"

const secret = Buffer.alloc(32, 1)
const samples = 100_000
const pcm = ramp(samples)

/** Bytes that the store gave away since the last look. */
let given = 0
const takeGiven = () => {
  const bytes = given
  given = 0
  return bytes
}

const counted = Layer.effect(
  Storage,
  Effect.map(Storage, (storage) => ({
    ...storage,
    get: (key, range) =>
      Stream.tap(storage.get(key, range), (bytes) =>
        Effect.sync(() => {
          given += bytes.length
        })
      )
  }))
).pipe(Layer.provide(MemoryStorage.layer))

const world = StoredAudio.layer.pipe(
  Layer.provideMerge(Layer.mergeAll(counted, Protection.layer)),
  Layer.provide([
    Layer.succeed(ProtectionConfig, {
      level: "enhanced",
      masterSecrets: Option.some(Redacted.make(secret.toString("base64")))
    }),
    StorageRead.layer.pipe(Layer.provide(BulkheadConfig.layer)),
    recordingConfig({ readPiece: 100_000, decodedBytes: 300_000 })
  ])
)

const put = (key: string, body: Uint8Array) =>
  Storage.use((storage) => storage.put({ key, body, contentType: "application/octet-stream", metadata: {} }))

const chunk = (key: string, more: Partial<Chunk> = {}): Chunk => ({
  id: "00000000-0000-4000-8000-000000000000",
  uid: "u",
  conversation: "c",
  start: 1_700_000_000,
  samples,
  sampleRate: 16_000,
  codec: "pcm16",
  state: "stored",
  key,
  ...more
})

const read = (of: Chunk, start = 0, end = of.samples * 2) =>
  StoredAudio.use((stored) => Stream.mkUint8Array(stored.read(of, start, end)))

/** Records of the legacy writer: as long as each of its parts. */
const recordsOf = (parts: ReadonlyArray<Uint8Array>, uid = "u"): Uint8Array =>
  Buffer.concat(
    parts.map((part) => {
      const sealed = Buffer.alloc(4 + 28 + part.length)
      sealed.writeUInt32BE(28 + part.length)
      Cipher.seal(Cipher.deriveKey(secret, uid), part, sealed.subarray(4))
      return sealed
    })
  )

const Byte = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: samples * 2 }))

layer(world, { excludeTestServices: true })("a stored chunk", (it) => {
  it.effect.prop(
    "is heard in any range, plain, encrypted by us, or encrypted in records of other lengths",
    { a: Byte, b: Byte },
    Effect.fnUntraced(function* ({ a, b }) {
      const { seal } = yield* Protection
      const [start, end] = a < b ? [a, b] : [b, a]
      yield* put("chunks/u/c/1.000.batch.bin", pcm)
      yield* put(
        "chunks/u/c/1.000.enc",
        recordsOf([pcm.subarray(0, 7), pcm.subarray(7, 70_000), pcm.subarray(70_000)])
      ).pipe(Effect.catchTag("ObjectConflict", () => Effect.void))
      yield* put("chunks/u/c/1.000.batch.enc", yield* seal("u", pcm)).pipe(
        Effect.catchTag("ObjectConflict", () => Effect.void)
      )
      for (const key of ["1.000.batch.bin", "1.000.enc", "1.000.batch.enc"]) {
        const heard = yield* read(chunk(`chunks/u/c/${key}`), start, end)
        assert.isTrue(Buffer.from(heard).equals(pcm.subarray(start, end)), `${key} ${start} ${end}`)
      }
    }),
    { arbitrary: { runs: 40 } }
  )

  it.effect("costs a range of encrypted audio no more than its records", () =>
    Effect.gen(function* () {
      const { seal } = yield* Protection
      yield* put("chunks/u/c/2.000.batch.enc", yield* seal("u", pcm))
      takeGiven()
      yield* read(chunk("chunks/u/c/2.000.batch.enc"), 70_000, 70_010)
      assert.strictEqual(takeGiven(), 65_536 + 32)
    })
  )

  it.effect("is decoded once for all its ranges when it has to be read whole", () =>
    Effect.gen(function* () {
      const sealed = recordsOf([pcm.subarray(0, 99_999), pcm.subarray(99_999)])
      yield* put("chunks/u/c/3.000.enc", sealed)
      yield* read(chunk("chunks/u/c/3.000.enc"), 0, 10)
      takeGiven()
      for (let at = 0; at < 200_000; at += 10_000) yield* read(chunk("chunks/u/c/3.000.enc"), at, at + 10_000)
      assert.strictEqual(takeGiven(), 0)
    })
  )

  it.effect("is heard without the odd byte at its end", () =>
    Effect.gen(function* () {
      const odd = Buffer.concat([pcm, Buffer.from([1])])
      const { seal } = yield* Protection
      yield* put("chunks/u/c/4.000.bin", odd)
      yield* put("chunks/u/c/4.000.enc", yield* seal("u", odd))
      for (const key of ["chunks/u/c/4.000.bin", "chunks/u/c/4.000.enc"]) {
        assert.isTrue(Buffer.from(yield* read(chunk(key))).equals(pcm))
      }
    })
  )

  it.effect(
    "is not heard when a bit of it was changed, it was cut, or it is somebody else's, and the error names it",
    () =>
      Effect.gen(function* () {
        const { seal } = yield* Protection
        const sealed = yield* seal("u", pcm)
        const changed = Uint8Array.from(sealed)
        changed[150_000] = (changed[150_000] ?? 0) ^ 4
        const broken = {
          "chunks/u/c/5.000.batch.enc": changed,
          "chunks/u/c/5.001.batch.enc": sealed.subarray(0, -1),
          "chunks/u/c/5.002.batch.enc": sealed.subarray(0, 2 * (65_536 + 32)),
          "chunks/u/c/5.003.batch.enc": recordsOf([pcm], "v"),
          "chunks/u/c/5.004.batch.enc": new Uint8Array(0),
          "chunks/u/c/5.005.enc": recordsOf([pcm, pcm])
        }
        for (const [key, bytes] of Object.entries(broken)) {
          yield* put(key, bytes)
          const failure = yield* Effect.flip(read(chunk(key)))
          assert.deepStrictEqual([failure._tag, "key" in failure ? failure.key : ""], ["ChunkUnreadable", key])
        }
        const missing = yield* Effect.flip(read(chunk("chunks/u/c/6.000.batch.enc")))
        assert.strictEqual(missing._tag, "ChunkUnreadable")
        const sound = yield* read(chunk("chunks/u/c/5.000.batch.enc"), 0, 65_536)
        assert.isTrue(Buffer.from(sound).equals(pcm.subarray(0, 65_536)))
      })
  )
})
