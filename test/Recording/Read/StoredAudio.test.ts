/** Stored chunks are heard as what was recorded, whatever they are stored as, or not at all. */
import { assert, layer } from "@effect/vitest"
import { crc32c } from "@node-rs/crc32"
import { Cause, Effect, Exit, Fiber, Layer, Option, Redacted, Schema, Stream } from "effect"
import { inBackground, Priority, StorageBulkheads } from "../../../src/Bulkhead.ts"
import { BulkheadConfig } from "../../../src/Bulkhead/BulkheadConfig.ts"
import { Opus } from "../../../src/Opus.ts"
import type { Chunk } from "../../../src/Recording.ts"
import { StoredAudio } from "../../../src/Recording/Read/StoredAudio.ts"
import { Storage } from "../../../src/Storage.ts"
import { Protection } from "../../../src/Encryption.ts"
import * as Cipher from "../../../src/Encryption/Cipher.ts"
import * as MemoryStorage from "../../../src/Storage/MemoryStorage.ts"
import { ProtectionConfig } from "../../../src/Encryption/ProtectionConfig.ts"
import * as OpusTone from "../support/OpusTone.ts"
import { ramp, recordingConfig } from "../support/TestNode.ts"

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

/** Reads in the background never end. */
let isBackgroundStuck = false

/** Reads, counted from 1, that die. */
const dying = new Set<number>()

/** Reads, counted from 1, whose bytes are changed on their way. */
const damaged = new Set<number>()
let reads = 0

const counted = Layer.effect(
  Storage,
  Effect.map(Storage, (storage) => {
    const get: Storage["Service"]["get"] = (key, range) =>
      Stream.unwrap(
        Effect.map(Priority, (priority) => {
          if (isBackgroundStuck && priority === "background") return Stream.never
          const isDamaged = damaged.delete(++reads)
          if (dying.delete(reads))
            return Stream.fromEffect(Effect.andThen(Effect.yieldNow, Effect.die(new Error("a bug"))))
          return Stream.map(storage.get(key, range), (bytes) => {
            given += bytes.length
            return isDamaged ? flipped(bytes, bytes.length >> 1) : bytes
          })
        })
      )
    return { ...storage, get, read: (key, range) => Stream.mkUint8Array(get(key, range)) }
  })
).pipe(Layer.provide(MemoryStorage.layer))

const world = StoredAudio.layer.pipe(
  Layer.provideMerge(Layer.mergeAll(counted, Protection.layer)),
  Layer.provide([
    Layer.succeed(ProtectionConfig, {
      keys: 10,
      level: "enhanced",
      masterSecrets: Option.some(Redacted.make(secret.toString("base64")))
    }),
    Layer.provideMerge(Layer.merge(StorageBulkheads.layer, Opus.layer), BulkheadConfig.layer),
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
      const record = Buffer.alloc(4 + 28 + part.length)
      record.writeUInt32BE(28 + part.length)
      Cipher.encrypt(Cipher.deriveKey(secret, uid), part, record.subarray(4))
      return record
    })
  )

/** What a row says of an object of these bytes. */
const rowOf = (bytes: Uint8Array) => ({ object: { bytes: bytes.length, crc32c: crc32c(bytes) } })

const flipped = (bytes: Uint8Array, at: number): Uint8Array => {
  const copy = Uint8Array.from(bytes)
  copy[at] = (copy[at] ?? 0) ^ 1
  return copy
}

/** The pieces that were heard before the end or the failure, and how it ended. */
const pieces = Effect.fnUntraced(function* (of: Chunk, start = 0, end = of.samples * 2) {
  const heard: Array<Uint8Array> = []
  const stored = yield* StoredAudio
  const ended = yield* Stream.runForEach(stored.read(of, start, end), (bytes) =>
    Effect.sync(() => heard.push(bytes))
  ).pipe(Effect.match({ onFailure: (error) => error, onSuccess: () => undefined }))
  return { heard: Buffer.concat(heard), ended }
})

const Byte = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: samples * 2 }))

layer(world, { excludeTestServices: true })("a stored chunk", (it) => {
  it.effect.prop(
    "plays in any range, plain or encrypted in records of any length",
    { a: Byte, b: Byte },
    Effect.fnUntraced(function* ({ a, b }) {
      const { encrypt } = yield* Protection
      const [start, end] = a < b ? [a, b] : [b, a]
      yield* put("chunks/u/c/1.000.batch.bin", pcm)
      yield* put(
        "chunks/u/c/1.000.enc",
        recordsOf([pcm.subarray(0, 7), pcm.subarray(7, 70_000), pcm.subarray(70_000)])
      ).pipe(Effect.catchTag("ObjectConflict", () => Effect.void))
      yield* put("chunks/u/c/1.000.batch.enc", yield* encrypt("u", pcm)).pipe(
        Effect.catchTag("ObjectConflict", () => Effect.void)
      )
      for (const key of ["1.000.batch.bin", "1.000.enc", "1.000.batch.enc"]) {
        const heard = yield* read(chunk(`chunks/u/c/${key}`), start, end)
        assert.isTrue(Buffer.from(heard).equals(pcm.subarray(start, end)), `${key} ${start} ${end}`)
      }
    }),
    { arbitrary: { runs: 40 } }
  )

  it.effect("reads only the records of a range of encrypted audio", () =>
    Effect.gen(function* () {
      const { encrypt } = yield* Protection
      yield* put("chunks/u/c/2.000.batch.enc", yield* encrypt("u", pcm))
      takeGiven()
      yield* read(chunk("chunks/u/c/2.000.batch.enc"), 70_000, 70_010)
      assert.strictEqual(takeGiven(), 65_536 + 32)
    })
  )

  it.effect("is decoded once for all ranges when it has to be read completely", () =>
    Effect.gen(function* () {
      const encrypted = recordsOf([pcm.subarray(0, 99_999), pcm.subarray(99_999)])
      yield* put("chunks/u/c/3.000.enc", encrypted)
      yield* read(chunk("chunks/u/c/3.000.enc"), 0, 10)
      takeGiven()
      for (let at = 0; at < 200_000; at += 10_000) yield* read(chunk("chunks/u/c/3.000.enc"), at, at + 10_000)
      assert.strictEqual(takeGiven(), 0)
    })
  )

  it.effect("stays decoded for its listeners while many others are read in the background", () =>
    Effect.gen(function* () {
      const keys = Array.from({ length: 10 }, (_, i) => `chunks/u/c/3.1${i}0.enc`)
      for (const key of keys) yield* put(key, recordsOf([pcm.subarray(0, 99_999), pcm.subarray(99_999)]))
      const first = chunk("chunks/u/c/3.100.enc")
      yield* read(first, 0, 10)
      for (const key of keys) yield* inBackground(read(chunk(key), 0, 10))
      takeGiven()
      yield* read(first, 100_000, 100_010)
      assert.strictEqual(takeGiven(), 0)
    })
  )

  it.effect("is read for a listener while all permits of the background are taken", () =>
    Effect.gen(function* () {
      const [plain, opus] = [chunk("chunks/u/c/8.000.batch.bin"), chunk("chunks/u/c/8.000.opus", { samples: 10 })]
      yield* put(plain.key, pcm)
      yield* put(opus.key, OpusTone.container(OpusTone.samples * 2))
      isBackgroundStuck = true
      const stuck = yield* Effect.forEach(
        [opus, plain, plain, plain, plain, plain, plain, plain],
        (each) => read(each),
        {
          concurrency: "unbounded"
        }
      ).pipe(inBackground, Effect.forkChild({ startImmediately: true }))
      const { piece } = yield* StoredAudio
      const waits = yield* Effect.forkChild(inBackground(piece(plain, 0, 10)), { startImmediately: true })
      assert.strictEqual((yield* piece(plain, 0, 10)).length, 10)
      assert.strictEqual((yield* read(plain, 0, 10)).length, 10)
      assert.strictEqual((yield* read(opus, 0, 10)).length, 10)
      assert.isUndefined(waits.pollUnsafe())
      isBackgroundStuck = false
      yield* Fiber.interrupt(stuck)
      assert.strictEqual((yield* Fiber.join(waits)).length, 10)
    })
  )

  it.effect(
    "is decoded again after its decoding died or its first listener disconnected, and no listener waits for ever",
    () =>
      Effect.gen(function* () {
        const opus = chunk("chunks/u/c/1700000060.000.batch.opus", { samples: OpusTone.samples })
        yield* put(opus.key, OpusTone.container(OpusTone.samples * 2))
        const listen = Effect.forkChild(read(opus, 0, 10), { startImmediately: true })
        dying.add(reads + 1)
        for (const listener of [yield* listen, yield* listen]) {
          const exit = yield* Fiber.await(listener)
          assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
        }
        const [first, second] = [yield* listen, yield* listen]
        yield* Fiber.interrupt(first)
        assert.strictEqual((yield* Fiber.join(second)).length, 10)
      })
  )

  it.effect("plays without an odd byte at its end", () =>
    Effect.gen(function* () {
      const odd = Buffer.concat([pcm, Buffer.from([1])])
      const { encrypt } = yield* Protection
      yield* put("chunks/u/c/4.000.bin", odd)
      yield* put("chunks/u/c/4.000.enc", yield* encrypt("u", odd))
      for (const key of ["chunks/u/c/4.000.bin", "chunks/u/c/4.000.enc"]) {
        assert.isTrue(Buffer.from(yield* read(chunk(key))).equals(pcm))
      }
    })
  )

  it.effect("has the packets of Opus as they were stored, encrypted or not, and none of a changed object", () =>
    Effect.gen(function* () {
      const { encrypt } = yield* Protection
      const stored = OpusTone.container(OpusTone.samples * 2)
      const sealed = yield* encrypt("u", stored)
      const packetsOf = (of: Chunk) => StoredAudio.use(({ packets }) => packets(of))
      for (const [key, bytes] of [
        ["chunks/u/c/21.000.opus", stored],
        ["chunks/u/c/22.000.opus.enc", sealed]
      ] as const) {
        yield* put(key, bytes)
        const packets = yield* packetsOf(chunk(key, rowOf(bytes)))
        assert.isTrue(Buffer.concat(packets).equals(Buffer.concat(OpusTone.packets)))
        assert.strictEqual(packets.length, OpusTone.packets.length)
      }
      const changed = chunk("chunks/u/c/21.000.opus", rowOf(flipped(stored, 100)))
      assert.strictEqual((yield* Effect.flip(packetsOf(changed)))._tag, "ChunkUnreadable")
      yield* put("chunks/u/c/23.000.opus", stored.subarray(0, 50))
      const cut = yield* Effect.flip(packetsOf(chunk("chunks/u/c/23.000.opus")))
      assert.include(String(cut), "is cut off")
    })
  )

  it.effect("fails with an error that names it when it is changed, cut or another user's", () =>
    Effect.gen(function* () {
      const { encrypt } = yield* Protection
      const encrypted = yield* encrypt("u", pcm)
      const changed = Uint8Array.from(encrypted)
      changed[150_000] = (changed[150_000] ?? 0) ^ 4
      const broken = {
        "chunks/u/c/5.000.batch.enc": changed,
        "chunks/u/c/5.001.batch.enc": encrypted.subarray(0, -1),
        "chunks/u/c/5.002.batch.enc": encrypted.subarray(0, 2 * (65_536 + 32)),
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
      assert.strictEqual(missing._tag, "ObjectNotFound")
      const sound = yield* read(chunk("chunks/u/c/5.000.batch.enc"), 0, 65_536)
      assert.isTrue(Buffer.from(sound).equals(pcm.subarray(0, 65_536)))
    })
  )

  it.effect("fails before its end with an error that names it when the object differs from the row", () =>
    Effect.gen(function* () {
      for (const [index, at] of [0, 99_999, 150_000, 199_999].entries()) {
        const key = `chunks/u/c/7.00${index}.batch.bin`
        yield* put(key, flipped(pcm, at))
        const { ended, heard } = yield* pieces(chunk(key, rowOf(pcm)))
        assert.isTrue(ended?._tag === "ChunkUnreadable" && ended.key === key)
        assert.include(ended?.message, "CRC32C")
        assert.strictEqual(heard.length, 100_000)
      }
      const key = "chunks/u/c/7.000.batch.bin"
      assert.strictEqual((yield* pieces(chunk(key))).heard.length, 200_000, "without a sum there is nothing to compare")
      assert.isUndefined((yield* pieces(chunk(key, rowOf(pcm)), 2)).ended, "nor is there for a part")
      assert.isUndefined((yield* pieces(chunk(key, rowOf(pcm)), 0, 199_998)).ended)
    })
  )

  it.effect("is read once more, and plays, when its last or only read is damaged in transit", () =>
    Effect.gen(function* () {
      const { encrypt } = yield* Protection
      const encrypted = yield* encrypt("u", pcm)
      const legacy = recordsOf([pcm.subarray(0, 7), pcm.subarray(7)])
      const odd = Buffer.concat([pcm, Buffer.from([1])])
      // Of plain audio of two pieces the second one; of encrypted audio any.
      const cases: ReadonlyArray<readonly [string, Uint8Array, ReadonlyArray<number>]> = [
        ["10.000.batch.bin", pcm, [2]],
        ["10.001.bin", odd, [2]],
        ["10.002.batch.enc", encrypted, [1]],
        ["10.003.batch.enc", encrypted, [3]],
        ["10.004.enc", legacy, [1]],
        ["10.005.enc", legacy, [2]]
      ]
      for (const [name, bytes, which] of cases) {
        const key = `chunks/u/c/${name}`
        yield* put(key, bytes)
        for (const read of which) damaged.add(reads + read)
        const { ended, heard } = yield* pieces(chunk(key, rowOf(bytes)))
        assert.isUndefined(ended, name)
        assert.isTrue(heard.equals(pcm), name)
        assert.strictEqual(damaged.size, 0)
      }
    })
  )

  it.effect("fails when sent bytes were damaged in transit, or when it is damaged twice", () =>
    Effect.gen(function* () {
      const key = "chunks/u/c/11.000.batch.bin"
      yield* put(key, pcm)
      for (const which of [[1], [2, 3]]) {
        for (const read of which) damaged.add(reads + read)
        const { ended, heard } = yield* pieces(chunk(key, rowOf(pcm)))
        assert.strictEqual(ended?._tag, "ChunkUnreadable")
        assert.strictEqual(heard.length, 100_000)
      }
      assert.isTrue((yield* pieces(chunk(key, rowOf(pcm)))).heard.equals(pcm))
    })
  )

  it.effect("plays when the object matches the row, also with an odd byte at its end", () =>
    Effect.gen(function* () {
      const odd = Buffer.concat([pcm, Buffer.from([1])])
      yield* put("chunks/u/c/8.000.bin", odd)
      yield* put("chunks/u/c/8.001.bin", flipped(odd, 200_000))
      const sound = yield* pieces(chunk("chunks/u/c/8.000.bin", rowOf(odd)))
      assert.isUndefined(sound.ended)
      assert.isTrue(sound.heard.equals(pcm))
      assert.strictEqual((yield* pieces(chunk("chunks/u/c/8.001.bin", rowOf(odd)))).ended?._tag, "ChunkUnreadable")
    })
  )

  it.effect("fails before its end when valid records are exchanged or missing", () =>
    Effect.gen(function* () {
      const { encrypt } = yield* Protection
      const encrypted = yield* encrypt("u", pcm)
      const record = 65_536 + 32
      const exchanged = Buffer.concat([
        encrypted.subarray(record, 2 * record),
        encrypted.subarray(0, record),
        encrypted.subarray(2 * record)
      ])
      yield* put("chunks/u/c/9.000.batch.enc", encrypted)
      yield* put("chunks/u/c/9.001.batch.enc", exchanged)
      assert.isUndefined((yield* pieces(chunk("chunks/u/c/9.000.batch.enc", rowOf(encrypted)))).ended)
      const { ended } = yield* pieces(chunk("chunks/u/c/9.001.batch.enc", rowOf(encrypted)))
      assert.strictEqual(ended?._tag, "ChunkUnreadable")
      for (const [index, records] of [1, 2, 3].entries()) {
        const key = `chunks/u/c/9.01${index}.batch.enc`
        yield* put(key, encrypted.subarray(0, records * record))
        const { ended } = yield* pieces(chunk(key, rowOf(encrypted)))
        assert.strictEqual(ended?._tag, "ChunkUnreadable", `the first ${records} records`)
      }
      const legacy = recordsOf([pcm.subarray(0, 7), pcm.subarray(7)])
      yield* put("chunks/u/c/9.002.enc", legacy)
      assert.isUndefined((yield* pieces(chunk("chunks/u/c/9.002.enc", rowOf(legacy)))).ended)
      const other = chunk("chunks/u/c/9.002.enc", rowOf(recordsOf([pcm.subarray(0, 7), pcm.subarray(7)])))
      assert.strictEqual((yield* pieces(other)).ended?._tag, "ChunkUnreadable")
    })
  )
})
