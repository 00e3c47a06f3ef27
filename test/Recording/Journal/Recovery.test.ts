/** Committed audio is recovered after any stop and any damage. */
import { assert, it } from "@effect/vitest"
import { Arbitrary, Effect, Layer, Schema } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { Bitstream, OpusPacket } from "../../../src/Audio.ts"
import { Journal } from "../../../src/Recording/Journal/Journal.ts"
import { encodeHead, writeRecord } from "../../../src/Recording/Journal/JournalRecord.ts"
import type { JournalChunk } from "../../../src/Recording/Journal/JournalChunk.ts"
import { packets } from "../support/OpusPackets.ts"
import { journalIn, newId, ramp, TestNode } from "../support/TestNode.ts"
import { frame, frames, inOrder, Sender } from "../support/Sender.ts"
import { temporaryDirectory } from "../../support/TemporaryDirectory.ts"

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const Step = Schema.Union([
  Schema.Struct({ _tag: Schema.tag("Append"), capture: between(0, 3), samples: between(1, 3000) }),
  Schema.Struct({ _tag: Schema.tag("Gap"), capture: between(0, 3) }),
  Schema.Struct({ _tag: Schema.tag("Switch"), capture: between(0, 3) }),
  Schema.Struct({ _tag: Schema.tag("Commit") })
])
const Steps = Arbitrary.array(Arbitrary.schema(Step), { minLength: 5, maxLength: 40 })

/** One run of a chunk's audio in the file of a segment. */
interface Run {
  readonly chunk: number
  readonly chunkStart: number
  readonly chunkSample: number
  readonly samples: number
  readonly file: string
  readonly end: number
  readonly audio: Buffer
}

/** Packets of about as many bytes as so many samples. */
const opusOf = (samples: number, seed: number) => OpusPacket.join(packets(1 + Math.floor(samples / 100), seed))

const contents = (journal: Journal["Service"], chunk: JournalChunk) =>
  Effect.map(journal.read(chunk, 0, chunk.durable), (bytes) => Buffer.from(bytes).toString("base64"))

/** Runs the steps on a journal of small segments; returns every committed run. */
const play = (dataDir: string, steps: ReadonlyArray<typeof Step.Type>) =>
  Effect.gen(function* () {
    const journal = yield* Journal
    const node = new TestNode(journal)
    const captures = [0, 1, 2, 3].map((index) => {
      const { capture } = node.capture({ codec: index < 2 ? "pcm16" : "opus" })
      capture.switchTo(`c${index}`)
      return { capture, at: 1_000_000 + index, conversation: 0, sent: 0 }
    })
    for (const step of steps) {
      if (step._tag === "Commit") yield* journal.commit
      else {
        const target = captures[step.capture]
        if (target === undefined) continue
        if (step._tag === "Gap") target.at += 5
        else if (step._tag === "Switch") target.capture.switchTo(`c${step.capture}.${++target.conversation}`)
        else {
          const isOpus = target.capture.bitstream.codec === "opus"
          const audio = isOpus ? opusOf(step.samples, target.sent) : ramp(step.samples, target.sent)
          target.capture.append(target.at, audio)
          target.at += target.capture.bitstream.samples(audio) / 8000
          target.sent += step.samples
        }
      }
    }
    yield* journal.commit
    yield* journal.commit
    const runs: Array<Run> = []
    const chunks = [...node.conversations.values()].flatMap((conversation) => [...conversation.chunks])
    for (const [index, chunk] of chunks.entries()) {
      const bytes = Buffer.from(yield* journal.read(chunk, 0, chunk.durable))
      let [at, chunkSample] = [0, 0]
      for (const { length, position, samples, segment } of chunk.extents) {
        const audio = bytes.subarray(at, at + length)
        assert.strictEqual(samples, Bitstream.of(chunk.codec, 8000).samples(audio))
        runs.push({
          chunk: index,
          chunkStart: chunk.start,
          chunkSample,
          samples,
          file: segment.path,
          end: position + length,
          audio
        })
        at += length
        chunkSample += samples
      }
    }
    return runs
  }).pipe(Effect.provide(journalIn(dataDir, { segmentBytes: 20_000 })))

/** The expected result of recovery: contiguous pieces of chunks, by start. */
const expected = (runs: ReadonlyArray<Run>) => {
  const pieces: Array<{ start: number; chunk: number; next: number; audio: Array<Buffer> }> = []
  for (const run of runs.toSorted((a, b) => a.chunk - b.chunk || a.chunkSample - b.chunkSample)) {
    const last = pieces.at(-1)
    if (last !== undefined && last.chunk === run.chunk && last.next === run.chunkSample) {
      last.audio.push(run.audio)
      last.next += run.samples
    } else {
      const start = run.chunkStart + run.chunkSample / 8000
      pieces.push({ start, chunk: run.chunk, next: run.chunkSample + run.samples, audio: [run.audio] })
    }
  }
  return pieces.map((piece) => [piece.start, Buffer.concat(piece.audio).toString("base64")] as const).toSorted(compare)
}

/** Bytes of a record's head without which its end is not known: magic, lengths. */
const isGuide = (at: number) => at < 4 || (at >= 8 && at < 16) || at === 49 || at === 50

/**
 * What a flipped byte takes: its record; and when that does not say any more where it ends, those that follow until one
 * of a chunk that was seen before.
 */
const lostBy = (runs: ReadonlyArray<Run>, file: string, byte: number): ReadonlySet<Run> => {
  const inOrder = runs.toSorted((a, b) => (a.file < b.file ? -1 : a.file > b.file ? 1 : a.end - b.end))
  const hit = inOrder.findIndex((run) => run.file === file && run.end > byte)
  const run = inOrder[hit]
  const start = inOrder[hit - 1]?.file === file ? (inOrder[hit - 1]?.end ?? 0) : 0
  if (run === undefined) return new Set()
  const seen = new Set(inOrder.slice(0, hit).map(({ chunk }) => chunk))
  const after = inOrder.slice(hit + 1).filter((next) => next.file === file)
  const known = after.findIndex((next) => seen.has(next.chunk))
  return new Set([run, ...(isGuide(byte - start) ? after.slice(0, known === -1 ? after.length : known) : [])])
}

const compare = (a: readonly [number, string], b: readonly [number, string]) => a[0] - b[0] || (a[1] < b[1] ? -1 : 1)

const found = (dataDir: string) =>
  Effect.gen(function* () {
    const journal = yield* Journal
    return yield* Effect.forEach(journal.recovered, (chunk) =>
      Effect.map(contents(journal, chunk), (audio) => [chunk.start, audio] as const)
    )
  }).pipe(
    Effect.map((pieces) => pieces.toSorted(compare)),
    Effect.provide(Layer.fresh(journalIn(dataDir, { segmentBytes: 20_000 })))
  )

const segmentsOf = (dataDir: string) => {
  const directory = Path.join(dataDir, "journal")
  return Fs.readdirSync(directory)
    .filter((name) => name.endsWith(".wal"))
    .sort()
    .map((name) => Path.join(directory, name))
    .filter((path) => Fs.statSync(path).size > 0)
}

it.effect.prop(
  "recovers every committed byte of any interleaving of captures, repeatedly",
  { steps: Steps },
  Effect.fnUntraced(function* ({ steps }) {
    const dataDir = yield* temporaryDirectory
    const runs = yield* play(dataDir, steps)
    assert.deepStrictEqual(yield* found(dataDir), expected(runs))
    assert.deepStrictEqual(yield* found(dataDir), expected(runs))
  }, Effect.scoped),
  { arbitrary: { runs: 20 } }
)

const damage = (kind: "cut" | "flip") =>
  it.effect.prop(
    kind === "cut"
      ? "keeps everything before a cut of a segment at any byte, and all other segments"
      : "loses no more than the record in which a byte is flipped, where that still says how long it is",
    { steps: Steps, where: Schema.Struct({ segment: between(0, 1000), byte: between(0, 1_000_000) }) },
    Effect.fnUntraced(function* ({ steps, where }) {
      const dataDir = yield* temporaryDirectory
      const runs = yield* play(dataDir, steps)
      const files = segmentsOf(dataDir)
      const file = files[where.segment % Math.max(1, files.length)]
      if (file === undefined) return
      const byte = where.byte % Fs.statSync(file).size
      if (kind === "cut") Fs.truncateSync(file, byte)
      else {
        const bytes = Fs.readFileSync(file)
        bytes[byte] = (bytes[byte] ?? 0) ^ 0x10
        Fs.writeFileSync(file, bytes)
      }
      const lost =
        kind === "flip" ? lostBy(runs, file, byte) : new Set(runs.filter((run) => run.file === file && run.end > byte))
      const kept = runs.filter((run) => !lost.has(run))
      assert.deepStrictEqual(yield* found(dataDir), expected(kept))
      assert.deepStrictEqual(yield* found(dataDir), expected(kept))
    }, Effect.scoped),
    { arbitrary: { runs: 25 } }
  )

damage("cut")
damage("flip")

it.effect("reads the journal of a release without clock shifts", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    Fs.mkdirSync(Path.join(dataDir, "journal"))
    // Two records of one chunk: samples 1 to 4, then 5 and 6, at 8 kHz from 1 700 000 000.25 on.
    const written = Buffer.from(
      "U1BKMRbjwnE2AAAACAAAAAAAAABAHwAAAAAQQPxU2UEAESIzRFVmd4iZqrvM3e7/AAEBAHVjAQACAAMABABTUEoxT0591zYAAAAEAAAACAAAAEAf" +
        "AAAAABBA/FTZQQARIjNEVWZ3iJmqu8zd7v8AAQEAdWMFAAYA",
      "base64"
    )
    Fs.writeFileSync(Path.join(dataDir, "journal", "0000000000000001.wal"), written)
    yield* Effect.gen(function* () {
      const [chunk, ...others] = (yield* Journal).recovered
      assert.strictEqual(others.length, 0)
      assert.deepStrictEqual(
        [chunk?.start, chunk?.uid, chunk?.conversation, chunk?.clockShifts, chunk?.durable],
        [1_700_000_000.25, "u", "c", [], 12]
      )
    }).pipe(Effect.provide(journalIn(dataDir)))
    assert.deepStrictEqual(yield* found(dataDir), [
      [1_700_000_000.25, Buffer.from(Uint16Array.of(1, 2, 3, 4, 5, 6).buffer).toString("base64")]
    ])
  }).pipe(Effect.scoped)
)

it.effect("recovers the clock shifts of a chunk's audio, also of shifts that share a commit", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    yield* Effect.gen(function* () {
      const sender = new Sender(new TestNode(yield* Journal))
      yield* sender.send(frames(20, 0, inOrder))
      // The fifth of them ends a commit.
      for (const [part, late] of [1.5, 0, 0.5].entries()) {
        const first = 20 + part * 7
        yield* sender.send(frames(7, first * frame, (index) => inOrder(first + index) - late))
      }
      yield* sender.end
    }).pipe(Effect.provide(journalIn(dataDir)))
    yield* Effect.gen(function* () {
      const { recovered } = yield* Journal
      assert.deepStrictEqual(
        recovered.map(({ clockShifts, durable }) => [
          clockShifts.map((shift) => Math.round(shift * 1e6) / 1e6),
          durable
        ]),
        [[[1.5, 0.5], 41 * frame * 2]]
      )
    }).pipe(Effect.provide(journalIn(dataDir)))
  }).pipe(Effect.scoped)
)

it.effect("recovers the latest eight clock shifts of a clock that stands still, one for each quarter of a second", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    yield* Effect.gen(function* () {
      const sender = new Sender(new TestNode(yield* Journal))
      yield* sender.send(frames(40, 0, () => inOrder(0)))
      yield* sender.end
    }).pipe(Effect.provide(journalIn(dataDir)))
    yield* Effect.gen(function* () {
      const { recovered } = yield* Journal
      assert.deepStrictEqual(
        recovered.map(({ clockShifts, durable }) => [clockShifts.map((shift) => Math.round(shift * 10) / 10), durable]),
        [[[2.3, 2.6, 2.8, 3.1, 3.3, 3.6, 3.8, 3.9], 40 * frame * 2]]
      )
    }).pipe(Effect.provide(journalIn(dataDir)))
  }).pipe(Effect.scoped)
)

it.effect("never reads audio that looks like a record as a record, whatever is damaged or cut", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const head = { id: newId(), uid: "victim", conversation: "c", start: 5, sampleRate: 8000, codec: "pcm16" } as const
    const forged = Buffer.alloc(encodeHead(head).length + 100)
    writeRecord(forged, 0, encodeHead(head), 0, Buffer.alloc(100, 1))
    yield* Effect.gen(function* () {
      const journal = yield* Journal
      const { capture } = new TestNode(journal).capture()
      capture.switchTo("c")
      capture.append(1_000_000, Buffer.concat([forged, forged, forged]))
      yield* journal.commit
    }).pipe(Effect.provide(journalIn(dataDir)))
    const [file = ""] = segmentsOf(dataDir)
    const whole = Fs.readFileSync(file)
    for (const bytes of [whole.subarray(0, -1), Buffer.concat([Buffer.from("XXXX"), whole.subarray(4)])]) {
      Fs.writeFileSync(file, bytes)
      assert.deepStrictEqual(yield* found(dataDir), [])
    }
  }).pipe(Effect.scoped)
)

it.effect("quarantines damaged segments up to a bound, and deletes the oldest beyond it", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const aside = () => Fs.readdirSync(Path.join(dataDir, "journal")).filter((name) => name.endsWith(".damaged"))
    const bounds = { damagedBytes: 40_000 }
    for (let round = 0; round < 4; round++) {
      yield* Effect.gen(function* () {
        const journal = yield* Journal
        for (const chunk of journal.recovered) yield* journal.release(chunk)
        const { capture } = new TestNode(journal).capture()
        capture.switchTo("c")
        for (let at = 0; at < 3; at++) {
          capture.append(1_000_000 + at, ramp(3000))
          yield* journal.commit
        }
      }).pipe(Effect.provide(Layer.fresh(journalIn(dataDir, bounds))))
      const file = segmentsOf(dataDir).at(-1) ?? ""
      const bytes = Fs.readFileSync(file)
      bytes[8000] = (bytes[8000] ?? 0) ^ 1
      Fs.writeFileSync(file, bytes)
    }
    assert.strictEqual(aside().length, 2)
    assert.deepStrictEqual(
      aside().map((name) => Number(name.slice(0, 16))),
      [2, 3]
    )
  }).pipe(Effect.scoped)
)
