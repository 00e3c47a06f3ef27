/** A capture writes its frames as chunks, every sample once. */
import { assert, it } from "@effect/vitest"
import { Arbitrary, Effect, Schema } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { Peaks } from "../../../src/Audio.ts"
import { Journal } from "../../../src/Recording/Journal/Journal.ts"
import { JournalError } from "../../../src/Recording/Journal/Segment.ts"
import { ended, journalIn, onJournal, ramp, TestNode } from "../support/TestNode.ts"
import { temporaryDirectory } from "../../support/TemporaryDirectory.ts"

const rate = 8000
const epoch = 1_700_000_000

/** All chunks of a conversation, by start, with their audio. */
const stored = (node: TestNode, conversation: string) =>
  Effect.forEach(
    [...node.conversation(conversation).chunks].toSorted((a, b) => a.start - b.start),
    (chunk) => Effect.map(node.journal.read(chunk, 0, chunk.durable), (audio) => ({ start: chunk.start, audio }))
  )

const Frame = Schema.Struct({
  at: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3000 })),
  samples: Schema.Int.check(Schema.isBetween({ minimum: 10, maximum: 900 })),
  commit: Schema.Boolean
})

it.effect.prop(
  "keeps every sample once, with overlaps, replays and frames out of order",
  { frames: Arbitrary.array(Arbitrary.schema(Frame), { minLength: 1, maxLength: 25 }) },
  ({ frames }) =>
    onJournal(({ node, journal }) =>
      Effect.gen(function* () {
        const { capture } = node.capture()
        capture.switchTo("c")
        const sent = new Set<number>()
        // Frames of a clock that stands still are new audio, whatever their samples.
        for (const { at, commit, samples } of frames.filter((frame, index) => frame.at !== frames[index - 1]?.at)) {
          // 16 samples are 2 ms: no two ends are within the tolerance of a millisecond without being equal.
          const from = at * 16
          const count = samples * 16
          capture.append(epoch + from / rate, ramp(count, from))
          for (let index = from; index < from + count; index++) sent.add(index)
          if (commit) yield* journal.commit
        }
        // More than a buffer can still be queued; the end of the capture waits for it.
        yield* ended(capture, journal)
        const kept = new Set<number>()
        for (const { audio, start } of yield* stored(node, "c")) {
          const from = Math.round((start - epoch) * rate)
          assert.deepStrictEqual(Buffer.from(audio), Buffer.from(ramp(audio.length / 2, from)))
          for (let index = from; index < from + audio.length / 2; index++) {
            assert.isFalse(kept.has(index), `sample ${index} is stored twice`)
            kept.add(index)
          }
        }
        assert.strictEqual(kept.size, sent.size)
      })
    ),
  { arbitrary: { runs: 20 } }
)

it.effect("commits no small part of a message without the rest of it", () =>
  onJournal(
    ({ node, journal }) =>
      Effect.gen(function* () {
        const { capture } = node.capture()
        capture.switchTo("c")
        const [first, second] = [ramp(32_760), ramp(2_000, 32_760)]
        assert.strictEqual(capture.append(epoch, first), "ok")
        assert.strictEqual(capture.append(epoch + 32_760 / rate, second), "full")
        yield* journal.commit
        assert.deepStrictEqual(
          (yield* stored(node, "c")).map(({ audio }) => audio.length),
          [first.length]
        )
        yield* ended(capture, journal)
        const [{ audio } = assert.fail("it is stored")] = yield* stored(node, "c")
        assert.deepStrictEqual(Buffer.from(audio), Buffer.concat([first, second]))
      }),
    { host: { markUrgent: () => {} } }
  )
)

it.effect("seals a chunk at exactly 60 s, and continues without a gap", () =>
  onJournal(({ node, journal }) =>
    Effect.gen(function* () {
      const { capture } = node.capture()
      capture.switchTo("c")
      for (let second = 0; second < 130; second += 0.7) {
        capture.append(epoch + second, ramp(5600, Math.round(second * rate)))
        yield* journal.commit
      }
      const chunks = yield* stored(node, "c")
      assert.deepStrictEqual(
        chunks.map((chunk) => chunk.audio.length / 2 / rate),
        [60, 60, 10.2]
      )
      assert.deepStrictEqual(Buffer.concat(chunks.map((c) => c.audio)), Buffer.from(ramp(1_041_600)))
      assert.strictEqual(node.sealed.length, 2)
    })
  )
)

it.effect("seals a capture's first chunk at a part of the full length, and later ones at the full length", () =>
  onJournal(
    ({ node, journal }) =>
      Effect.gen(function* () {
        const { capture } = node.capture()
        capture.switchTo("c")
        // A gap also seals a chunk, without spreading.
        capture.append(epoch - 10, ramp(800))
        for (let second = 0; second < 80; second++) {
          capture.append(epoch + second, ramp(8000, second * rate))
          yield* journal.commit
        }
        assert.deepStrictEqual(
          (yield* stored(node, "c")).map((chunk) => chunk.audio.length / 2 / rate),
          [0.1, 15, 60, 5]
        )
      }),
    { host: { firstShare: () => 0.25 } }
  )
)

it.effect("starts a new chunk only after a gap of more than a millisecond", () =>
  onJournal(({ node, journal }) =>
    Effect.gen(function* () {
      const { capture } = node.capture()
      capture.switchTo("c")
      capture.append(epoch, ramp(800))
      capture.append(epoch + 0.1009, ramp(800))
      capture.append(epoch + 0.2011, ramp(800))
      yield* journal.commit
      assert.deepStrictEqual(
        (yield* stored(node, "c")).map((chunk) => chunk.audio.length / 2),
        [1600, 800]
      )
    })
  )
)

it.effect("appends in order of arrival when spans are not exact, up to a jump of 2 s", () =>
  onJournal(({ node, journal }) =>
    Effect.gen(function* () {
      const { capture } = node.capture({ exact: false })
      capture.switchTo("c")
      for (const at of [0, 0.3, 0.05, 1.9, 4.5]) capture.append(epoch + at, ramp(800))
      yield* journal.commit
      assert.deepStrictEqual(
        (yield* stored(node, "c")).map((chunk) => [chunk.start - epoch, chunk.audio.length / 2]),
        [
          [0, 3200],
          [4.5, 800]
        ]
      )
    })
  )
)

it.effect("acknowledges synced audio at most once a second, and the end of a conversation at once", () =>
  onJournal(({ node, journal }) =>
    Effect.gen(function* () {
      const { capture, heard } = node.capture()
      node.now = 10_000
      capture.switchTo("a")
      capture.append(epoch, ramp(800))
      assert.deepStrictEqual(heard.acks, [])
      yield* journal.commit
      assert.deepStrictEqual(heard.acks.splice(0), [
        { conversation: "a", through: epoch + 0.1, bytes: 1600, stored: undefined }
      ])
      capture.append(epoch + 0.1, ramp(800))
      yield* journal.commit
      assert.deepStrictEqual(heard.acks, [])
      node.now = 10_500
      yield* journal.commit
      assert.deepStrictEqual(heard.acks, [])
      // A second later, less the jitter of a timer.
      node.now = 10_995
      yield* journal.commit
      assert.deepStrictEqual(heard.acks.splice(0), [
        { conversation: "a", through: epoch + 0.1 + 0.1, bytes: 3200, stored: undefined }
      ])
      capture.append(epoch + 0.2, ramp(800))
      capture.switchTo("b")
      capture.append(epoch, ramp(8))
      yield* journal.commit
      assert.deepStrictEqual(heard.acks, [
        { conversation: "a", through: epoch + 0.2 + 0.1, bytes: 4800, stored: undefined }
      ])
    })
  )
)

it.effect("acknowledges a replay only when the original is durable, whichever capture buffers it", () =>
  onJournal(({ node, journal }) =>
    Effect.gen(function* () {
      const [first, second] = [node.capture(), node.capture()]
      first.capture.switchTo("c")
      second.capture.switchTo("c")
      node.now = 10_000
      first.capture.append(epoch, ramp(800))
      assert.strictEqual(second.capture.append(epoch, ramp(800)), "full")
      assert.deepStrictEqual(second.heard.acks, [])
      while (second.heard.rooms < 2) yield* Effect.yieldNow
      assert.strictEqual(first.capture.waitingBytes, 0)
      assert.strictEqual(node.replayed, 0.1)
      yield* journal.commit
      assert.deepStrictEqual(second.heard.acks, [
        { conversation: "c", through: epoch + 0.1, bytes: 1600, stored: undefined }
      ])
      assert.strictEqual((yield* stored(node, "c")).length, 1)
    })
  )
)

it.effect("appends to the end of the audio when spans are not exact, even after a seal by age", () =>
  onJournal(({ node, journal }) =>
    Effect.gen(function* () {
      const { capture } = node.capture({ exact: false })
      capture.switchTo("c")
      capture.append(epoch, ramp(16_000))
      yield* journal.commit
      node.now = 60_000
      capture.sealIfOld()
      capture.append(epoch + 1, ramp(8000))
      yield* journal.commit
      assert.deepStrictEqual(
        (yield* stored(node, "c")).map(({ audio, start }) => [start - epoch, audio.length]),
        [
          [0, 32_000],
          [2, 16_000]
        ]
      )
    })
  )
)

it.effect("accepts audio again after a segment could not be created", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const inTheWay = [2, 3].map((number) => Path.join(dataDir, "journal", `${String(number).padStart(16, "0")}.wal`))
    yield* Effect.gen(function* () {
      const journal = yield* Journal
      const node = new TestNode(journal)
      const attempt = Effect.fnUntraced(function* (from: number) {
        const { capture, heard } = node.capture()
        capture.switchTo("c")
        capture.append(epoch + from / rate, ramp(8000, from))
        yield* journal.commit
        return heard.failures
      })
      assert.deepStrictEqual(yield* attempt(0), [])
      for (const file of inTheWay) Fs.writeFileSync(file, "")
      assert.deepStrictEqual(yield* attempt(8000), ["NotWritten"])
      assert.isTrue(journal.stats().failing)
      yield* Effect.repeat(attempt(8000), { until: (failures) => failures.length === 0, times: inTheWay.length })
      assert.isFalse(journal.stats().failing)
      assert.deepStrictEqual(Buffer.concat((yield* stored(node, "c")).map((c) => c.audio)), Buffer.from(ramp(16_000)))
    }).pipe(Effect.provide(journalIn(dataDir, { segmentBytes: 10_000 })))
  }).pipe(Effect.scoped)
)

it.effect("accepts a frame larger than its buffer in parts, and signals no room meanwhile", () =>
  onJournal(({ node, journal }) =>
    Effect.gen(function* () {
      const { capture, heard } = node.capture()
      capture.switchTo("c")
      assert.strictEqual(heard.rooms, 1)
      assert.strictEqual(capture.append(epoch, ramp(100_000)), "full")
      assert.strictEqual(capture.append(epoch + 100_000 / rate, ramp(10, 100_000)), "full")
      while (heard.rooms < 2) yield* Effect.andThen(Effect.yieldNow, journal.commit)
      yield* ended(capture, journal)
      assert.deepStrictEqual(Buffer.concat((yield* stored(node, "c")).map((c) => c.audio)), Buffer.from(ramp(100_010)))
    })
  )
)

it.effect("signals room after a replay that is larger than its buffer", () =>
  onJournal(({ node, journal }) =>
    Effect.gen(function* () {
      const { capture } = node.capture()
      capture.switchTo("c")
      capture.append(epoch, ramp(60_000))
      capture.append(epoch + 60_000 / rate, ramp(60_000, 60_000))
      const again = node.capture()
      yield* ended(capture, journal)
      again.capture.switchTo("c")
      const { rooms } = again.heard
      assert.strictEqual(again.capture.append(epoch, ramp(120_000)), "full")
      while (again.heard.rooms === rooms) yield* Effect.yieldNow
      assert.closeTo(node.replayed, 15, 1e-6)
      assert.strictEqual(again.capture.append(epoch + 120_000 / rate, ramp(8)), "ok")
    })
  )
)

it.effect("ends when the received audio is in the journal and sealed", () =>
  onJournal(({ node, journal }) =>
    Effect.gen(function* () {
      const { capture, heard } = node.capture()
      capture.switchTo("c")
      capture.append(epoch, ramp(90_000))
      yield* Effect.callback<void>((resume) => capture.close(() => resume(Effect.void)))
      assert.deepStrictEqual(
        node.sealed.map((chunk) => [chunk.state, chunk.durable]),
        [["waiting", 180_000]]
      )
      assert.deepStrictEqual(heard.acks.at(-1), {
        conversation: "c",
        through: epoch + 11.25,
        bytes: 180_000,
        stored: undefined
      })
      yield* journal.commit
    })
  )
)

it.effect("rejects audio before a conversation", () =>
  onJournal(({ node }) =>
    Effect.sync(() => assert.strictEqual(node.capture().capture.append(epoch, ramp(8)), "refused"))
  )
)

it.effect("fails when its audio can't be written, and the next capture accepts the same audio", () =>
  onJournal(({ node, journal }) =>
    Effect.gen(function* () {
      const first = node.capture()
      first.capture.switchTo("c")
      first.capture.append(epoch, ramp(800))
      yield* journal.commit
      first.capture.append(epoch + 0.1, ramp(800, 800))
      first.capture.settled(new JournalError({ operation: "write", path: "x", cause: new Error("no space") }))
      assert.deepStrictEqual(first.heard.failures, ["NotWritten"])
      const second = node.capture()
      second.capture.switchTo("c")
      second.capture.append(epoch + 0.1, ramp(800, 800))
      yield* journal.commit
      assert.deepStrictEqual(Buffer.concat((yield* stored(node, "c")).map((c) => c.audio)), Buffer.from(ramp(1600)))
      assert.strictEqual(node.replayed, 0)
    })
  )
)

for (const [bound, failure] of [
  ["chunksPerConversation", "ConversationFull"],
  ["chunksPerUser", "TooManyChunks"]
] as const)
  it.effect(`fails when it would exceed the bound on ${bound}, and keeps what it has`, () =>
    onJournal(
      ({ node, journal }) =>
        Effect.gen(function* () {
          const { capture, heard } = node.capture()
          capture.switchTo("c")
          for (const at of [0, 10, 20, 30]) {
            capture.append(epoch + at, ramp(800))
            yield* journal.commit
          }
          assert.deepStrictEqual(heard.failures, [failure])
          assert.strictEqual((yield* stored(node, "c")).length, 2)
        }),
      { host: { [bound]: 2 } }
    )
  )

it.effect("computes the peaks of its chunks without replays", () =>
  onJournal(({ node }) =>
    Effect.gen(function* () {
      const { capture } = node.capture()
      capture.switchTo("c")
      capture.append(epoch, ramp(3000))
      yield* node.journal.commit
      // Compared with the recorded audio before it is written.
      capture.append(epoch + 2000 / rate, ramp(3000, 2000))
      yield* ended(capture, node.journal)
      const [chunk, ...others] = node.conversation("c").chunks
      assert.strictEqual(others.length, 0)
      assert.strictEqual(chunk?.peaks.samples, 5000)
      assert.deepStrictEqual(chunk?.peaks.encode(), Peaks.peaksOf(ramp(5000), rate))
    })
  )
)
