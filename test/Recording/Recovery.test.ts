/** What was committed is found again, after any stop and any damage. */
import { assert, it } from "@effect/vitest"
import { Arbitrary, Effect, Layer, Schema } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { Journal } from "../../src/Recording/Journal.ts"
import type { LiveChunk } from "../../src/Recording/LiveChunk.ts"
import { journalIn, ramp, temporaryDirectory, TestNode } from "./support/TestNode.ts"

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
  readonly chunkOffset: number
  readonly file: string
  readonly end: number
  readonly audio: Buffer
}

const contents = (journal: Journal["Service"], chunk: LiveChunk) =>
  Effect.map(journal.read(chunk, 0, chunk.durable), (bytes) => Buffer.from(bytes).toString("base64"))

/** Plays the steps on a journal of small segments; answers every run that was committed. */
const play = (dataDir: string, steps: ReadonlyArray<typeof Step.Type>) =>
  Effect.gen(function* () {
    const journal = yield* Journal
    const node = new TestNode(journal)
    const captures = [0, 1, 2, 3].map((index) => {
      const { capture } = node.capture()
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
          target.capture.append(target.at, ramp(step.samples, target.sent))
          target.at += step.samples / 8000
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
      let chunkOffset = 0
      for (const { length, position, segment } of chunk.extents) {
        const audio = bytes.subarray(chunkOffset, chunkOffset + length)
        runs.push({
          chunk: index,
          chunkStart: chunk.start,
          chunkOffset,
          file: segment.path,
          end: position + length,
          audio
        })
        chunkOffset += length
      }
    }
    return runs
  }).pipe(Effect.provide(journalIn(dataDir, { segmentBytes: 20_000 })))

/** What recovery must find of these runs: contiguous pieces of chunks, by start. */
const expected = (runs: ReadonlyArray<Run>) => {
  const pieces: Array<{ start: number; chunk: number; next: number; audio: Array<Buffer> }> = []
  for (const run of runs.toSorted((a, b) => a.chunk - b.chunk || a.chunkOffset - b.chunkOffset)) {
    const last = pieces.at(-1)
    if (last !== undefined && last.chunk === run.chunk && last.next === run.chunkOffset) {
      last.audio.push(run.audio)
      last.next += run.audio.length
    } else {
      const start = run.chunkStart + run.chunkOffset / 2 / 8000
      pieces.push({ start, chunk: run.chunk, next: run.chunkOffset + run.audio.length, audio: [run.audio] })
    }
  }
  return pieces.map((piece) => [piece.start, Buffer.concat(piece.audio).toString("base64")] as const).toSorted(compare)
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
  "finds every committed byte of any interleaving of captures, again and again",
  { steps: Steps },
  Effect.fnUntraced(function* ({ steps }) {
    const dataDir = yield* temporaryDirectory
    const runs = yield* play(dataDir, steps)
    assert.deepStrictEqual(yield* found(dataDir), expected(runs))
    assert.deepStrictEqual(yield* found(dataDir), expected(runs))
  }, Effect.scoped),
  { arbitrary: { runs: 40 } }
)

const damage = (kind: "cut" | "flip") =>
  it.effect.prop(
    `keeps everything before a ${kind === "cut" ? "cut of a segment at any byte" : "flipped byte"}, and all other segments`,
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
      const kept = runs.filter((run) => run.file !== file || run.end <= byte)
      assert.deepStrictEqual(yield* found(dataDir), expected(kept))
      assert.deepStrictEqual(yield* found(dataDir), expected(kept))
    }, Effect.scoped),
    { arbitrary: { runs: 60 } }
  )

damage("cut")
damage("flip")
