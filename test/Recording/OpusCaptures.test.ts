/** Opus across all of `src/Recording`: from the capture to the object, row and playback, whatever happens in between. */
import { assert, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Stream } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { OpusContainer, OpusPacket, Peaks } from "../../src/Audio.ts"
import { Recording } from "../../src/Recording.ts"
import { ChunkRows } from "../../src/Recording/Catalog/ChunkRows.ts"
import { maxKey, minKey } from "../../src/Recording/Catalog/IndexChange.ts"
import { Journal } from "../../src/Recording/Journal/Journal.ts"
import { Storage } from "../../src/Storage.ts"
import { decode, messages, packets, random, samplesOf } from "./support/OpusPackets.ts"
import {
  allChunks,
  epoch,
  failing,
  hanging,
  type Hooks,
  idle,
  inWorld,
  liveChunks,
  node,
  objects,
  record,
  rowCount,
  segments,
  sweep
} from "./support/StoringNode.ts"
import { temporaryDirectory } from "../support/TemporaryDirectory.ts"

const rate = 16_000

/** Sends messages as one device does, and ends; returns its acknowledged bytes and clock shifts. */
const send = (frames: ReadonlyArray<{ readonly start: number; readonly audio: Uint8Array }>) =>
  Effect.gen(function* () {
    const recording = yield* Recording
    const received = { bytes: 0, shifts: 0 }
    let room = yield* Deferred.make<void>()
    const capture = yield* recording.open({
      uid: "u",
      sampleRate: rate,
      codec: "opus",
      exact: true,
      onAck: ({ bytes }) => {
        received.bytes = bytes
      },
      onRoom: () => Deferred.doneUnsafe(room, Effect.void),
      onFailure: ({ _tag }) => assert.fail(_tag),
      onShift: () => received.shifts++
    })
    capture.switchTo("c")
    yield* Deferred.await(room)
    for (const { audio, start } of frames) {
      room = yield* Deferred.make<void>()
      if (capture.append(start, audio) === "full") yield* Deferred.await(room)
    }
    return received
  }).pipe(Effect.scoped)

const sendAll = (all: ReadonlyArray<Uint8Array>, from = 0, seed = 1) =>
  send(messages(all.slice(from), { rate, seed, start: epoch + samplesOf(all.slice(0, from), rate) / rate }))

const bytesOf = (all: ReadonlyArray<Uint8Array>) => all.reduce((sum, { length }) => sum + 2 + length, 0)

/** The packets of the conversation in order. */
const heard = Effect.gen(function* () {
  const recording = yield* Recording
  const chunks = yield* allChunks("u", "c")
  const found = yield* Effect.forEach(chunks, (chunk) => recording.packets(chunk))
  for (const [index, packets] of found.entries()) assert.strictEqual(samplesOf(packets, rate), chunks[index]?.samples)
  return found.flat()
})

const assertHeard = (expected: ReadonlyArray<Uint8Array>) =>
  Effect.map(heard, (found) => {
    assert.strictEqual(found.length, expected.length)
    assert.isTrue(Buffer.concat(found).equals(Buffer.concat(expected)))
  })

for (const level of ["standard", "enhanced"] as const)
  it.live(`stores a sealed chunk of packets as an Opus container, protection ${level}`, () =>
    Effect.gen(function* () {
      const dataDir = yield* temporaryDirectory
      const all = packets(40, 2)
      yield* Effect.gen(function* () {
        assert.strictEqual((yield* sendAll(all)).bytes, bytesOf(all))
        yield* idle
        assert.strictEqual(yield* liveChunks, 0)
        const [object] = yield* objects
        const key = `chunks/u/c/1700000000.000.opus${level === "enhanced" ? ".enc" : ""}`
        const samples = samplesOf(all, rate)
        assert.strictEqual(object?.key, key)
        assert.deepStrictEqual(object?.metadata, {
          v2_start: "1700000000",
          v2_samples: String(samples),
          v2_sample_rate: String(rate),
          codec: "opus"
        })
        const stored = Buffer.from(yield* Stream.mkUint8Array((yield* Storage).get(key)))
        assert.strictEqual(stored.includes(all[3] ?? ""), level === "standard")
        if (level === "standard") {
          const head = Buffer.alloc(8)
          head.writeUInt32LE(all.length, 0)
          head.writeUInt32LE(samples * 2, 4)
          assert.isTrue(stored.equals(Buffer.concat([head, OpusPacket.join(all)])))
        }
        yield* assertHeard(all)
      }).pipe(Effect.provide(node(dataDir, { level })))
    }).pipe(inWorld)
  )

for (const level of ["standard", "enhanced"] as const)
  it.live(`keeps stored packets once when they are sent again in other messages, protection ${level}`, () =>
    Effect.gen(function* () {
      const dataDir = yield* temporaryDirectory
      const all = packets(400, 3)
      yield* Effect.gen(function* () {
        yield* sendAll(all.slice(0, 300))
        yield* idle
      }).pipe(Effect.provide(node(dataDir, { level })))
      yield* Effect.gen(function* () {
        assert.deepStrictEqual(yield* sendAll(all, 120, 4), { bytes: bytesOf(all.slice(120)), shifts: 0 })
        yield* assertHeard(all)
        assert.strictEqual((yield* sendAll(packets(20, 5), 0, 6)).shifts, 1)
        yield* assertHeard([...all, ...packets(20, 5)])
        yield* idle
        yield* assertHeard([...all, ...packets(20, 5)])
      }).pipe(Effect.provide(node(dataDir, { level })))
    }).pipe(inWorld)
  )

it.live("keeps packets and PCM for the same times, each in files of its own", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const all = packets(50, 7)
    yield* Effect.gen(function* () {
      yield* record(8000)
      yield* idle
      assert.strictEqual((yield* sendAll(all)).shifts, 1)
      yield* idle
      const keys = (yield* objects).map(({ key }) => key)
      assert.deepStrictEqual(keys, ["chunks/u/c/1700000000.000.batch.bin", "chunks/u/c/1700000001.000.opus"])
      assert.deepStrictEqual(
        (yield* allChunks("u", "c")).map(({ codec, samples }) => [codec, samples]),
        [
          ["pcm16", 8000],
          ["opus", samplesOf(all, rate)]
        ]
      )
    }).pipe(Effect.provide(node(dataDir)))
  }).pipe(inWorld)
)

for (const level of ["standard", "enhanced"] as const)
  it.live(`chooses another key when other packets have it, and finds its own again, protection ${level}`, () =>
    Effect.gen(function* () {
      const dataDir = yield* temporaryDirectory
      const storage = yield* Storage
      const extension = level === "enhanced" ? ".opus.enc" : ".opus"
      const body = OpusContainer.encode(OpusPacket.join(packets(3, 8)), 3, 960)
      yield* storage.put({
        key: `chunks/u/c/1700000000.000${extension}`,
        body,
        contentType: "a/b",
        metadata: {}
      })
      const all = packets(30, 9)
      const reached = yield* Deferred.make<void>()
      const row: Hooks["row"] = () => Effect.andThen(Deferred.succeed(reached, undefined), Effect.never)
      const copy = Path.join(dataDir, "copy")
      yield* Effect.gen(function* () {
        yield* sendAll(all)
        yield* Deferred.await(reached)
        Fs.cpSync(Path.join(dataDir, "journal"), Path.join(copy, "journal"), { recursive: true })
      }).pipe(Effect.provide(node(dataDir, { level, row }, hanging)))
      yield* Effect.gen(function* () {
        yield* sweep
        assert.deepStrictEqual(
          (yield* objects).map(({ key }) => key),
          [`chunks/u/c/1700000000.000${extension}`, `chunks/u/c/1700000000.001${extension}`]
        )
        yield* assertHeard(all)
      }).pipe(Effect.provide(node(copy, { level })))
    }).pipe(inWorld)
  )

const points = ["before the put", "after the put", "before the row", "after the row"] as const

for (const level of ["standard", "enhanced"] as const)
  it.live.each(points)(`keeps every packet once when it is killed %s, protection ${level}`, (point) =>
    Effect.gen(function* () {
      const dataDir = yield* temporaryDirectory
      const reached = yield* Deferred.make<void>()
      const stop = Effect.andThen(Deferred.succeed(reached, undefined), Effect.never)
      const around = <A, E>(effect: Effect.Effect<A, E>) =>
        point.startsWith("before") ? Effect.andThen(stop, effect) : Effect.andThen(effect, stop)
      const hooks: Hooks = point.endsWith("put") ? { put: around } : { row: around }
      const all = packets(100, 10)
      const copy = Path.join(dataDir, "copy")
      yield* Effect.gen(function* () {
        yield* sendAll(all)
        yield* Deferred.await(reached)
        Fs.cpSync(Path.join(dataDir, "journal"), Path.join(copy, "journal"), { recursive: true })
      }).pipe(Effect.provide(node(dataDir, { ...hooks, level }, hanging)))
      yield* Effect.gen(function* () {
        yield* sweep
        // The device did not hear of all that was recorded.
        yield* sendAll(all, 40, 11)
        yield* assertHeard(all)
        yield* idle
        yield* assertHeard(all)
        assert.deepStrictEqual([(yield* objects).length, yield* rowCount, yield* segments], [1, 1, 1])
      }).pipe(Effect.provide(node(copy, { level })))
    }).pipe(inWorld)
  )

it.live("recognizes the rest of a stored chunk of packets when the journal has deleted its first segment", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const copy = Path.join(dataDir, "copy")
    const small = { segmentBytes: 1_000, commitInterval: Duration.millis(5), ...hanging }
    const reached = yield* Deferred.make<void>()
    const row = <A, E>(row: Effect.Effect<A, E>) =>
      row.pipe(Effect.andThen(Deferred.succeed(reached, undefined)), Effect.andThen(Effect.never))
    const all = packets(120, 12)
    yield* Effect.gen(function* () {
      const journal = yield* Journal
      const recording = yield* Recording
      yield* Effect.gen(function* () {
        const room = yield* Deferred.make<void>()
        const capture = yield* recording.open({
          uid: "u",
          sampleRate: rate,
          codec: "opus",
          exact: true,
          onAck: () => {},
          onRoom: () => Deferred.doneUnsafe(room, Effect.void),
          onFailure: ({ _tag }) => assert.fail(_tag)
        })
        capture.switchTo("c")
        yield* Deferred.await(room)
        for (const { audio, start } of messages(all, { rate, seed: 13, start: epoch })) {
          capture.append(start, audio)
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
      assert.deepStrictEqual([(yield* objects).length, yield* rowCount, yield* liveChunks], [1, 1, 0])
      yield* assertHeard(all)
    }).pipe(Effect.provide(node(copy)))
  }).pipe(inWorld)
)

it.live("recognizes packets in the journal that are sent again after a kill, without the database", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const { put } = failing()
    const all = packets(200, 14)
    // A busy machine may take minutes for a commit; the capture would end without its last audio.
    const patient = { drainTimeout: Duration.minutes(10), conversationLookup: Duration.minutes(10) }
    yield* Effect.provide(sendAll(all.slice(0, 150)), node(dataDir, { put }, patient))
    yield* Effect.gen(function* () {
      yield* sendAll(all, 60, 15)
      yield* assertHeard(all)
    }).pipe(
      Effect.provide(
        node(dataDir, { put, enter: () => Effect.die("down"), compare: () => Stream.die("asked") }, patient)
      )
    )
  }).pipe(inWorld)
)

/** Reads every chunk whole and in ranges; returns how many. */
const assertPlayed = Effect.gen(function* () {
  const recording = yield* Recording
  const chunks = yield* allChunks("u", "c")
  for (const chunk of chunks) {
    const expected = decode(yield* recording.packets(chunk), rate)
    const size = chunk.samples * 2
    for (const [start, end] of [
      [0, size],
      [2, size - 2],
      [Math.floor(size / 3), Math.floor(size / 2)],
      [size - 1, size]
    ] as const) {
      const audio = Buffer.concat(yield* Stream.runCollect(recording.read(chunk, { start, end })))
      assert.isTrue(audio.equals(expected.subarray(start, end)), `${chunk.state} ${start} to ${end}`)
      assert.isTrue(Buffer.from(yield* recording.piece(chunk, { start, end })).equals(audio))
    }
  }
  return chunks.length
})

it.live("plays packets in the journal and in the store as libopus decodes them, whole and by range", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const { put, state } = failing()
    const all = packets(300, 16)
    yield* Effect.gen(function* () {
      yield* sendAll(all)
      assert.isAbove(yield* liveChunks, 3)
      assert.strictEqual(yield* assertPlayed, yield* liveChunks)
      state.down = false
      const before = (yield* allChunks("u", "c"))[0]
      yield* sweep
      assert.strictEqual(yield* liveChunks, 0)
      yield* assertPlayed
      // A listener may have a snapshot from before.
      const recording = yield* Recording
      if (before === undefined) return assert.fail("no chunk")
      const audio = yield* recording.piece(
        { ...before, samples: before.samples },
        { start: 0, end: before.samples * 2 }
      )
      assert.isTrue(Buffer.from(audio).equals(decode(yield* recording.packets(before), rate)))
    }).pipe(Effect.provide(node(dataDir, { put }, { chunkDuration: Duration.seconds(2) })))
  }).pipe(inWorld)
)

for (const level of ["standard", "enhanced"] as const)
  it.live(`stores the peaks of what the packets decode to, also after a kill, protection ${level}`, () =>
    Effect.gen(function* () {
      const dataDir = yield* temporaryDirectory
      const { put } = failing()
      const all = packets(120, 17)
      yield* Effect.provide(sendAll(all), node(dataDir, { level, put }))
      yield* Effect.gen(function* () {
        yield* sweep
        yield* sendAll(packets(60, 18), 0, 19)
        yield* idle
        const rows = yield* Effect.flatMap(ChunkRows, (rows) =>
          Stream.runCollect(rows.peaks({ uid: "u", conversation: "c" }, minKey, maxKey))
        )
        assert.strictEqual(rows.length, 2)
        const recording = yield* Recording
        for (const { chunk, peaks } of rows)
          assert.deepStrictEqual(peaks, Peaks.peaksOf(decode(yield* recording.packets(chunk), rate), rate))
      }).pipe(Effect.provide(node(dataDir, { level })))
    }).pipe(inWorld)
  )

it.live.each([21, 22])(
  "plays what libopus decodes after gaps, overlaps, replays and kills at any time, seed %d",
  (seed) =>
    Effect.gen(function* () {
      const dataDir = yield* temporaryDirectory
      const next = random(seed)
      const all: Array<{ readonly packet: Uint8Array; readonly at: number }> = []
      let end = 0
      let directory = dataDir
      for (let life = 0; life < 3; life++) {
        const copy = Path.join(dataDir, `copy-${life}`)
        yield* Effect.gen(function* () {
          for (let part = 0; part < 3; part++) {
            // A message of a replay must not span a gap.
            const from = Math.max(0, all.length - Math.floor(next() * 60))
            end += next() < 0.5 ? Math.floor(next() * 16_000) : 0
            for (const packet of packets(10 + Math.floor(next() * 60), Math.floor(next() * 1e6))) {
              all.push({ packet, at: end })
              end += samplesOf([packet], rate)
            }
            yield* send(
              all.slice(from).map(({ at, packet }) => ({ start: epoch + at / rate, audio: OpusPacket.join([packet]) }))
            )
            if (next() < 0.5) yield* idle
          }
          Fs.cpSync(Path.join(directory, "journal"), Path.join(copy, "journal"), { recursive: true })
        }).pipe(Effect.provide(node(directory, {}, { chunkDuration: Duration.seconds(1) })))
        directory = copy
      }
      yield* Effect.gen(function* () {
        yield* sweep
        yield* assertHeard(all.map(({ packet }) => packet))
        assert.strictEqual(yield* assertPlayed, yield* rowCount)
        const chunks = yield* allChunks("u", "c")
        const starts = new Set(all.map(({ at }) => at))
        for (const { start } of chunks) assert.isTrue(starts.has(Math.round((start - epoch) * rate)), String(start))
      }).pipe(Effect.provide(node(directory)))
    }).pipe(inWorld)
)
