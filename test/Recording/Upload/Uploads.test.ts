/** From sealed chunk to object, row and free journal, whatever breaks in between. */
import { assert, it } from "@effect/vitest"
import { crc32c } from "@node-rs/crc32"
import { Deferred, Duration, Effect, Option, Stream } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { Journal } from "../../../src/Recording/Journal/Journal.ts"
import * as ObjectName from "../../../src/Recording/Objects/ObjectName.ts"
import { JournalError } from "../../../src/Recording/Journal/Segment.ts"
import { Uploads } from "../../../src/Recording/Upload/Uploads.ts"
import { Storage, StorageUnavailable } from "../../../src/Storage.ts"
import {
  type Hooks,
  epoch,
  hanging,
  node,
  openCapture,
  record,
  playback,
  idle,
  sweep,
  liveChunks,
  segments,
  objects,
  rowCount,
  inWorld,
  failing,
  storedOf
} from "../support/StoringNode.ts"
import { ramp } from "../support/TestNode.ts"
import { temporaryDirectory } from "../../support/TemporaryDirectory.ts"

/** Offers waiting chunks and waits for their uploads; returns how many were offered. */
const sweepCount = Effect.flatMap(Uploads, (uploads) => Effect.tap(uploads.sweep, uploads.idle))

it.live("stores a sealed chunk as an object and a row, then releases it from the journal", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    yield* Effect.gen(function* () {
      yield* record(8000)
      assert.isTrue((yield* playback).audio.equals(Buffer.from(ramp(8000))))
      yield* idle
      assert.strictEqual(yield* liveChunks, 0)
      const { audio, states } = yield* playback
      assert.deepStrictEqual(states, ["stored"])
      assert.isTrue(audio.equals(Buffer.from(ramp(8000))))
      const [object] = yield* objects
      assert.strictEqual(object?.key, "chunks/u/c/1700000000.000.batch.bin")
      assert.deepStrictEqual(object?.metadata, {
        v2_start: "1700000000",
        v2_samples: "8000",
        v2_sample_rate: "8000",
        codec: "pcm16"
      })
    }).pipe(Effect.provide(node(dataDir)))
  }).pipe(inWorld)
)

it.live("stores only ciphertext when protection is enhanced, and plays it", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    yield* Effect.gen(function* () {
      yield* record(80_000)
      yield* idle
      const [object] = yield* objects
      assert.strictEqual(object?.key, "chunks/u/c/1700000000.000.batch.enc")
      assert.strictEqual(object?.size, 160_000 + 3 * 32)
      assert.strictEqual(object?.metadata["v2_samples"], "80000")
      const stored = Buffer.from(yield* Stream.mkUint8Array((yield* Storage).get(object?.key ?? "")))
      for (let at = 0; at < 160_000; at += 1_000) {
        assert.isFalse(stored.includes(Buffer.from(ramp(80_000).subarray(at, at + 16))), `plain audio at ${at}`)
      }
      assert.isTrue((yield* playback).audio.equals(Buffer.from(ramp(80_000))))
      assert.deepStrictEqual((yield* playback).sums, [{ bytes: stored.length, crc32c: crc32c(stored) }])
    }).pipe(Effect.provide(node(dataDir, { level: "enhanced" })))
  }).pipe(inWorld)
)

it.live("chooses another key for an encrypted chunk whose key other audio has", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const storage = yield* Storage
    const taken = { contentType: "a/b", metadata: {} }
    yield* storage.put({ key: "chunks/u/c/1700000000.000.batch.enc", body: new Uint8Array(16_032), ...taken })
    yield* Effect.gen(function* () {
      yield* record(8000)
      yield* idle
      assert.strictEqual((yield* objects).at(-1)?.key, "chunks/u/c/1700000000.001.batch.enc")
      assert.isTrue((yield* playback).audio.equals(Buffer.from(ramp(8000))))
    }).pipe(Effect.provide(node(dataDir, { level: "enhanced" })))
  }).pipe(inWorld)
)

const points = ["before the put", "after the put", "before the row", "after the row"] as const
const killPoints = [
  ...points.map((point) => ({ point, level: "standard" as const })),
  ...points.map((point) => ({ point, level: "enhanced" as const }))
]

it.live.each(killPoints)(
  "keeps the audio exactly once when it is killed $point, protection $level",
  ({ level, point }) =>
    Effect.gen(function* () {
      const dataDir = yield* temporaryDirectory
      const reached = yield* Deferred.make<void>()
      const stop = Effect.andThen(Deferred.succeed(reached, undefined), Effect.never)
      const before = <A, E>(effect: Effect.Effect<A, E>) => Effect.andThen(stop, effect)
      const after = <A, E>(effect: Effect.Effect<A, E>) => Effect.andThen(effect, stop)
      const hooks: Hooks =
        point === "before the put"
          ? { put: before }
          : point === "after the put"
            ? { put: after }
            : point === "before the row"
              ? { row: before }
              : { row: after }
      const copy = Path.join(dataDir, "copy")
      yield* Effect.gen(function* () {
        yield* record(8000)
        yield* Deferred.await(reached)
        // What the disk has at the instant of the kill; nothing that the first node does later reaches it.
        Fs.cpSync(Path.join(dataDir, "journal"), Path.join(copy, "journal"), { recursive: true })
      }).pipe(Effect.provide(node(dataDir, { ...hooks, level }, hanging)))
      yield* Effect.gen(function* () {
        yield* sweep
        yield* idle
        const { audio, states, sums } = yield* playback
        assert.deepStrictEqual(states, ["stored"])
        assert.isTrue(audio.equals(Buffer.from(ramp(8000))))
        assert.deepStrictEqual(
          (yield* objects).map(({ crc32c, size }) => ({ bytes: size, crc32c })),
          sums
        )
        assert.strictEqual(yield* rowCount, 1)
        assert.strictEqual(yield* liveChunks, 0)
        assert.strictEqual(yield* segments, 1)
      }).pipe(Effect.provide(node(copy, { level })))
    }).pipe(inWorld)
)

it.live("recognizes the rest of a stored chunk when the journal has deleted its first segment", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const copy = Path.join(dataDir, "copy")
    const small = { segmentBytes: 10_000, commitInterval: Duration.hours(1), ...hanging }
    const reached = yield* Deferred.make<void>()
    const row = <A, E>(row: Effect.Effect<A, E>) =>
      row.pipe(Effect.andThen(Deferred.succeed(reached, undefined)), Effect.andThen(Effect.never))
    yield* Effect.gen(function* () {
      const journal = yield* Journal
      yield* Effect.gen(function* () {
        const { capture } = yield* openCapture()
        for (let part = 0; part < 4; part++) {
          capture.append(epoch + part, ramp(8000, part * 8000))
          yield* journal.commit
        }
      }).pipe(Effect.scoped)
      yield* Deferred.await(reached)
      Fs.cpSync(Path.join(dataDir, "journal"), Path.join(copy, "journal"), { recursive: true })
    }).pipe(Effect.provide(node(dataDir, { row }, small)))
    const files = Fs.readdirSync(Path.join(copy, "journal")).sort()
    assert.isAbove(files.length, 3)
    Fs.rmSync(Path.join(copy, "journal", files[0] ?? ""))
    yield* Effect.gen(function* () {
      yield* sweep
      assert.strictEqual((yield* objects).length, 1)
      assert.strictEqual(yield* rowCount, 1)
      assert.strictEqual(yield* liveChunks, 0)
      assert.isTrue((yield* playback).audio.equals(Buffer.from(ramp(32_000))))
    }).pipe(Effect.provide(node(copy)))
  }).pipe(inWorld)
)

it.live("finds a stored chunk again, whether it starts at a whole second or not", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const put = () => new StorageUnavailable({ operation: "put", bucket: "b", key: "k", cause: "down" })
    yield* Effect.gen(function* () {
      yield* record(8000)
      yield* record(8000, 12_345)
    }).pipe(Effect.provide(node(dataDir, { put }, { uploadDeadline: Duration.millis(1) })))
    yield* Effect.gen(function* () {
      yield* sweep
      assert.strictEqual(yield* rowCount, 2)
    }).pipe(Effect.provide(node(dataDir)))
  }).pipe(inWorld)
)

it.live("plays a chunk from the journal while the store is down, and stores it at a later sweep", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    let down = true
    const put = <A, E>(put: Effect.Effect<A, E>): Effect.Effect<A, E | StorageUnavailable> =>
      Effect.suspend((): Effect.Effect<A, E | StorageUnavailable> =>
        down ? new StorageUnavailable({ operation: "put", bucket: "b", key: "k", cause: "down" }) : put
      )
    yield* Effect.gen(function* () {
      yield* record(8000)
      yield* idle
      assert.strictEqual(yield* liveChunks, 1)
      assert.isTrue((yield* playback).audio.equals(Buffer.from(ramp(8000))))
      down = false
      yield* sweep
      assert.strictEqual(yield* liveChunks, 0)
      assert.isTrue((yield* playback).audio.equals(Buffer.from(ramp(8000))))
    }).pipe(Effect.provide(node(dataDir, { put }, { uploadDeadline: Duration.millis(300) })))
  }).pipe(inWorld)
)

it.live("stores what had failed when the node stops, if the store is back, and keeps it in the journal otherwise", () =>
  Effect.gen(function* () {
    for (const isBack of [false, true]) {
      const dataDir = yield* temporaryDirectory
      const { put, state } = failing()
      yield* Effect.gen(function* () {
        yield* record(8000)
        yield* idle
        assert.deepStrictEqual([state.puts, yield* liveChunks], [1, 1])
        state.down = !isBack
      }).pipe(Effect.provide(node(dataDir, { put })))
      assert.strictEqual(state.puts, 2)
      assert.lengthOf(yield* objects, isBack ? 1 : 0)
      assert.strictEqual(yield* rowCount, isBack ? 1 : 0)
    }
  }).pipe(inWorld)
)

it.live("chooses another key for a chunk whose key another object has", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const storage = yield* Storage
    const taken = { contentType: "a/b", metadata: {} }
    yield* storage.put({ key: "chunks/u/c/1700000000.000.batch.bin", body: new Uint8Array(3), ...taken })
    yield* Effect.gen(function* () {
      yield* record(8000)
      yield* idle
      assert.deepStrictEqual(
        (yield* objects).map((object) => [object.key, object.size]),
        [
          ["chunks/u/c/1700000000.000.batch.bin", 3],
          ["chunks/u/c/1700000000.001.batch.bin", 16_000]
        ]
      )
      assert.isTrue((yield* playback).audio.equals(Buffer.from(ramp(8000))))
    }).pipe(Effect.provide(node(dataDir)))
  }).pipe(inWorld)
)

it.live("stores a chunk when a hundred objects have its key and the next ones", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const storage = yield* Storage
    for (let shift = 0; shift <= 100; shift++) {
      const key = `chunks/u/c/${(epoch + shift / 1000).toFixed(3)}.batch.bin`
      yield* storage.put({ key, body: new Uint8Array(3), contentType: "a/b", metadata: {} })
    }
    yield* Effect.gen(function* () {
      yield* record(8000)
      yield* idle
      assert.strictEqual(yield* liveChunks, 0)
      const names = (yield* objects).filter(({ size }) => size === 16_000).map(({ key }) => ObjectName.parse(key))
      assert.deepStrictEqual(
        names.map((name) => Option.map(name, ({ start }) => start >= epoch && start < epoch + 0.1)),
        [Option.some(true)]
      )
      assert.isTrue((yield* playback).audio.equals(Buffer.from(ramp(8000))))
    }).pipe(Effect.provide(node(dataDir)))
  }).pipe(inWorld)
)

it.live(
  "offers a chunk in every sweep while no reader of the journal responds, and calls it unavailable, not damaged",
  () =>
    Effect.gen(function* () {
      const dataDir = yield* temporaryDirectory
      let isSilent = true
      const silent = new JournalError({ operation: "read", path: "x", cause: new Error("silent"), isTransient: true })
      const journalRead: Hooks["journalRead"] = (read) => Effect.suspend(() => (isSilent ? Effect.fail(silent) : read))
      yield* Effect.gen(function* () {
        yield* record(8000)
        yield* idle
        for (let count = 0; count < 4; count++) assert.strictEqual(yield* sweepCount, 1)
        assert.strictEqual((yield* Effect.flip(playback))._tag, "StorageUnavailable")
        isSilent = false
        yield* sweep
        assert.deepStrictEqual((yield* playback).states, ["stored"])
      }).pipe(Effect.provide(node(dataDir, { journalRead })))
    }).pipe(inWorld)
)

it.live("calls the store once an upload: retries are the store's, then the next sweep's", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const { put, state } = failing()
    yield* Effect.gen(function* () {
      yield* record(8000)
      yield* idle
      assert.strictEqual(state.puts, 1)
      state.down = false
      yield* sweep
      assert.strictEqual(yield* storedOf("u"), 1)
    }).pipe(Effect.provide(node(dataDir, { put })))
  }).pipe(inWorld)
)

it.live("sweeps users in turn, oldest chunk first, and continues while chunks wait", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const { put, state } = failing()
    yield* Effect.gen(function* () {
      for (const [index, uid] of ["stuck", "stuck", "stuck", "stuck", "u", "u", "u"].entries())
        yield* record(800, 800 * index, "c", uid)
      yield* idle
      state.down = false
      yield* sweep
      assert.strictEqual(yield* storedOf("u"), 3)
      assert.strictEqual(yield* liveChunks, 4)
    }).pipe(Effect.provide(node(dataDir, { put }, { sweepChunks: 2 })))
  }).pipe(inWorld)
)

it.live("retries a rejected chunk at growing intervals", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const { put, state } = failing()
    yield* Effect.gen(function* () {
      state.down = false
      yield* record(800, 0, "c", "stuck")
      yield* idle
      const tried: Array<number> = []
      for (let round = 1; round <= 16; round++) {
        const before = state.puts
        yield* sweep
        if (state.puts > before) tried.push(round)
      }
      assert.deepStrictEqual(tried, [1, 3, 7, 15])
    }).pipe(Effect.provide(node(dataDir, { put })))
  }).pipe(inWorld)
)

it.live("uploads the last chunk of a capture that ended before its audio was durable", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    yield* Effect.gen(function* () {
      yield* record(8000)
      while ((yield* liveChunks) > 0) yield* Effect.yieldNow
      assert.strictEqual(yield* storedOf("u"), 1)
    }).pipe(Effect.provide(node(dataDir, {}, { drainTimeout: Duration.zero })))
  }).pipe(inWorld)
)
