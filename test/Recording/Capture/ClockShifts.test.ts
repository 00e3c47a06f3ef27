/** All that is sent is heard, once, whatever the clock of the sender says. */
import { assert, it } from "@effect/vitest"
import { Arbitrary, Effect, Schema } from "effect"
import { Timeline } from "../../../src/Audio.ts"
import { Journal } from "../../../src/Recording/Journal/Journal.ts"
import { journalIn, ramp, temporaryDirectory, TestNode } from "../support/TestNode.ts"

const rate = 8000
const epoch = 1_700_000_000
/** A tenth of a second. */
const frame = 800

interface Frame {
  readonly start: number
  readonly audio: Uint8Array
}

/** Frames of `count` tenths of a second of the ramp from sample `from` on, with these stamps. */
const frames = (count: number, from: number, stamp: (index: number) => number): ReadonlyArray<Frame> =>
  Array.from({ length: count }, (_, index) => ({ start: stamp(index), audio: ramp(frame, from + index * frame) }))

const inOrder = (index: number) => epoch + index / 10

const assertHeard = (audio: Buffer, expected: Uint8Array) => {
  let same = 0
  while (same < audio.length && audio[same] === expected[same]) same++
  assert.deepStrictEqual({ bytes: audio.length, same }, { bytes: expected.length, same: expected.length })
}

class Sender {
  readonly node: TestNode
  readonly heard: ReturnType<TestNode["capture"]>["heard"]
  readonly #capture: ReturnType<TestNode["capture"]>["capture"]

  constructor(node: TestNode, options: { readonly exact?: boolean; readonly sampleRate?: number } = {}) {
    this.node = node
    const { capture, heard } = node.capture(options)
    this.#capture = capture
    this.heard = heard
    capture.switchTo("c")
  }

  /** As a device does: waits while it is told to, with a commit for every five frames. */
  send(frames: ReadonlyArray<Frame>) {
    return Effect.forEach(frames, ({ audio, start }, index) =>
      Effect.gen({ self: this }, function* () {
        const { rooms } = this.heard
        if (this.#capture.append(start, audio) === "full")
          while (this.heard.rooms === rooms) yield* Effect.andThen(this.node.journal.commit, Effect.yieldNow)
        if (index % 5 === 4) yield* this.node.journal.commit
        this.node.now += 100
      })
    )
  }

  get end() {
    return Effect.suspend(() => {
      const state = { ended: false }
      this.#capture.close(() => {
        state.ended = true
      })
      return this.node.journal.commit.pipe(Effect.andThen(Effect.yieldNow), Effect.repeat({ until: () => state.ended }))
    })
  }
}

const onNode = <A, E>(test: (node: TestNode) => Effect.Effect<A, E>) =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    return yield* Effect.flatMap(Journal, (journal) => test(new TestNode(journal))).pipe(
      Effect.provide(journalIn(dataDir))
    )
  }).pipe(Effect.scoped)

/** What playback makes of the conversation: its audio without silence, and where there is some. */
const playback = (node: TestNode) =>
  Effect.gen(function* () {
    const conversation = node.conversation("c")
    const files = Timeline.layout(
      [...conversation.chunks].filter(({ durable }) => durable > 0).map((chunk) => chunk.toChunk()),
      90
    )
    const audio: Array<Uint8Array> = []
    for (const { pieces } of files)
      for (const { chunk, samples, skip } of pieces) {
        const live = conversation.chunk(chunk.id)
        if (live !== undefined) audio.push(yield* node.journal.read(live, skip * 2, (skip + samples) * 2))
      }
    return {
      audio: Buffer.concat(audio),
      files: files.map(({ samples, start }) => [Math.round((start - epoch) * rate), samples]),
      chunks: [...conversation.chunks].length,
      shifts: [...conversation.chunks].map(({ clockShift }) => Math.round(clockShift * 1000) / 1000)
    }
  })

for (const exact of [true, false])
  it.effect(`keeps all audio of a clock that stands still${exact ? "" : ", when spans are not exact"}`, () =>
    onNode((node) =>
      Effect.gen(function* () {
        const sender = new Sender(node, { exact })
        yield* sender.send(frames(50, 0, () => epoch))
        yield* sender.end
        const { audio, chunks, files, shifts } = yield* playback(node)
        assertHeard(audio, ramp(50 * frame))
        assert.deepStrictEqual([files, chunks], [[[0, 50 * frame]], 1])
        assert.deepStrictEqual(shifts, [exact ? 4.9 : 4.2])
        assert.strictEqual(sender.heard.shifts.length, exact ? 49 : 2)
        assert.strictEqual(sender.heard.acks.at(-1)?.bytes, 50 * frame * 2)
        // Only the frame after a commit has to be compared with what is not in the buffer any more.
        assert.isAtMost(node.recalls, 10)
      })
    )
  )

it.effect("keeps all audio of a clock of whole seconds in one chunk", () =>
  onNode((node) =>
    Effect.gen(function* () {
      const sender = new Sender(node)
      yield* sender.send(frames(50, 0, (index) => epoch + Math.floor(index / 10)))
      yield* sender.end
      const { audio, chunks, files } = yield* playback(node)
      assertHeard(audio, ramp(50 * frame))
      assert.deepStrictEqual([files, chunks], [[[0, 50 * frame]], 1])
    })
  )
)

it.effect("keeps all audio of a clock of whole seconds that is set back, without a gap", () =>
  onNode((node) =>
    Effect.gen(function* () {
      const sender = new Sender(node)
      yield* sender.send(frames(400, 0, (index) => epoch + Math.floor(index / 10 - (index >= 100 ? 2 : 0))))
      yield* sender.end
      const { audio, files } = yield* playback(node)
      assertHeard(audio, ramp(400 * frame))
      assert.deepStrictEqual(files, [[0, 400 * frame]])
    })
  )
)

for (const bytes of [1600, 1520])
  it.effect(`keeps all identical frames of ${bytes} bytes from a clock of whole seconds`, () =>
    onNode((node) =>
      Effect.gen(function* () {
        const tone = Buffer.alloc(bytes, Buffer.from([0, 0, 0, 64, 0, 0, 0, 192]))
        const sender = new Sender(node)
        const stamp = (index: number) => epoch + Math.floor((index * bytes) / 2 / rate)
        yield* sender.send(Array.from({ length: 60 }, (_, index) => ({ start: stamp(index), audio: tone })))
        yield* sender.end
        const { audio } = yield* playback(node)
        assert.strictEqual(audio.length, 60 * bytes)
      })
    )
  )

it.effect("keeps all audio of a drifting clock, and reports the shift every ten milliseconds", () =>
  onNode((node) =>
    Effect.gen(function* () {
      const sender = new Sender(node)
      // So fast that it does not take an hour: a hundredth.
      yield* sender.send(frames(300, 0, (index) => epoch + (index / 10) * 0.99))
      yield* sender.end
      const { audio, chunks, files } = yield* playback(node)
      assertHeard(audio, ramp(300 * frame))
      assert.deepStrictEqual([files, chunks], [[[0, 300 * frame]], 1])
      const { shifts: told } = sender.heard
      assert.closeTo(told.at(-1) ?? 0, 0.29, 0.02)
      assert.isTrue(told.every((shift, index) => shift - (told[index - 1] ?? 0) >= 0.01))
    })
  )
)

it.effect("keeps all audio whose stamps jitter with the arrival of frames", () =>
  onNode((node) =>
    Effect.gen(function* () {
      const sender = new Sender(node)
      yield* sender.send(frames(50, 0, (index) => inOrder(index) + (index % 2 === 0 ? -0.02 : 0.03)))
      yield* sender.end
      assertHeard((yield* playback(node)).audio, ramp(50 * frame))
    })
  )
)

it.effect("appends to the end while a clock is set back, and follows it once it is right again", () =>
  onNode((node) =>
    Effect.gen(function* () {
      const sender = new Sender(node)
      yield* sender.send(frames(20, 0, inOrder))
      yield* sender.send(frames(20, 20 * frame, (index) => inOrder(index) + 0.53))
      assert.deepStrictEqual(
        sender.heard.shifts.map((shift) => Math.round(shift * 1000) / 1000),
        [1.47]
      )
      assert.strictEqual(node.recalls, 1)
      // As the device counts, so that it knows what it may forget.
      assert.strictEqual(Math.round(((sender.heard.acks.at(-1)?.through ?? 0) - epoch) * 100) % 10, 3)
      yield* sender.send(frames(10, 40 * frame, (index) => epoch + 10 + index / 10))
      yield* sender.end
      const { audio, files, shifts } = yield* playback(node)
      assertHeard(audio, ramp(50 * frame))
      assert.deepStrictEqual(files, [[0, 11 * rate]])
      assert.deepStrictEqual(shifts, [1.47, 0])
      assert.strictEqual(sender.heard.shifts.length, 1)
    })
  )
)

const reconnects: ReadonlyArray<readonly [string, (index: number) => number, number]> = [
  ["exactly", (index) => inOrder(30 + index), 0],
  ["with a jitter under a millisecond", (index) => inOrder(30 + index) + ((index * 7) % 19) / 1e4 - 9e-4, 0],
  ["20 ms later", (index) => inOrder(30 + index) + 0.02, 160],
  ["20 ms earlier", (index) => inOrder(30 + index) - 0.02, 0]
]

for (const [how, stamp, silence] of reconnects)
  it.effect(`keeps replayed audio once when it is sent again ${how}`, () =>
    onNode((node) =>
      Effect.gen(function* () {
        const first = new Sender(node)
        yield* first.send(frames(50, 0, inOrder))
        yield* first.end
        const second = new Sender(node)
        yield* second.send(frames(50, 30 * frame, stamp))
        yield* second.end
        const { audio, files } = yield* playback(node)
        assertHeard(audio, ramp(80 * frame))
        assert.deepStrictEqual(files, [[0, 80 * frame + silence]])
        assert.strictEqual(Math.round(node.replayed * 1e6) / 1e6, 2)
        assert.strictEqual(second.heard.acks.at(-1)?.bytes, 50 * frame * 2)
      })
    )
  )

it.effect("keeps replayed audio once when it is split into other frames, and reads ahead", () =>
  onNode((node) =>
    Effect.gen(function* () {
      const first = new Sender(node)
      yield* first.send(frames(500, 0, inOrder))
      yield* first.end
      const second = new Sender(node)
      const cut = Array.from({ length: 90 }, (_, index) => ({
        start: epoch + 20 + index * 0.37,
        audio: ramp(2960, 20 * rate + index * 2960)
      }))
      yield* second.send(cut)
      yield* second.end
      const { audio, files } = yield* playback(node)
      assertHeard(audio, ramp(20 * rate + 90 * 2960))
      assert.strictEqual(files.length, 1)
      // 30 s are 480 KB: eight spans of 64 KiB, and what a frame that goes beyond one reads again.
      assert.isAtMost(node.recalls, 18)
    })
  )
)

it.effect("keeps audio of a clock that was set back once when it is replayed after a reconnection", () =>
  onNode((node) =>
    Effect.gen(function* () {
      const first = new Sender(node)
      yield* first.send(frames(20, 0, inOrder))
      yield* first.send(frames(20, 20 * frame, inOrder))
      yield* first.end
      const second = new Sender(node)
      yield* second.send(frames(30, 30 * frame, (index) => inOrder(10 + index)))
      yield* second.end
      const { audio, files } = yield* playback(node)
      assertHeard(audio, ramp(60 * frame))
      assert.deepStrictEqual(files, [[0, 60 * frame]])
      assert.strictEqual(second.heard.shifts.length, 1)
    })
  )
)

it.effect("keeps the audio of two devices for the same time, and a replay of one of them once", () =>
  onNode((node) =>
    Effect.gen(function* () {
      const first = new Sender(node)
      yield* first.send(frames(30, 0, inOrder))
      const second = new Sender(node)
      yield* second.send(frames(30, 100_000, (index) => inOrder(index) + 0.05))
      yield* first.end
      yield* second.end
      const third = new Sender(node)
      yield* third.send(frames(30, 0, inOrder))
      yield* third.end
      const { audio } = yield* playback(node)
      assertHeard(audio, Buffer.concat([ramp(30 * frame), ramp(30 * frame, 100_000)]))
    })
  )
)

it.effect("keeps a frame with a new end, and drops its beginning only when the samples are the same", () =>
  onNode((node) =>
    Effect.gen(function* () {
      const sender = new Sender(node)
      yield* sender.send([
        { start: epoch, audio: ramp(800) },
        { start: epoch + 0.05, audio: ramp(800, 400) },
        { start: epoch + 0.1, audio: ramp(800, 50_000) }
      ])
      yield* sender.end
      const { audio, files } = yield* playback(node)
      assertHeard(audio, Buffer.concat([ramp(1200), ramp(800, 50_000)]))
      assert.deepStrictEqual(files, [[0, 2000]])
    })
  )
)

it.effect("fills a gap with late audio, around the audio already recorded in it", () =>
  onNode((node) =>
    Effect.gen(function* () {
      const sender = new Sender(node)
      yield* sender.send([
        { start: epoch, audio: ramp(800) },
        { start: epoch + 0.5, audio: ramp(800, 4000) },
        { start: epoch + 5, audio: ramp(800, 40_000) }
      ])
      yield* sender.send(frames(49, 800, (index) => inOrder(index + 1)))
      yield* sender.end
      const { audio, files } = yield* playback(node)
      assertHeard(audio, ramp(40_800))
      assert.deepStrictEqual(files, [[0, 40_800]])
      assert.isAtMost(node.recalls, 6)
    })
  )
)

it.effect("treats silence as a replay while the clock runs, and keeps it when the clock stands still", () =>
  onNode((node) =>
    Effect.gen(function* () {
      const silence = new Uint8Array(frame * 2)
      const spoken = [ramp(frame), silence, ramp(frame, frame), silence, silence]
      const first = new Sender(node)
      yield* first.send(spoken.map((audio, index) => ({ start: inOrder(index), audio })))
      yield* first.end
      const again = new Sender(node)
      yield* again.send(spoken.map((audio, index) => ({ start: inOrder(index), audio })))
      yield* again.end
      assertHeard((yield* playback(node)).audio, Buffer.concat(spoken))
      const stuck = new Sender(node)
      const other = [ramp(frame, 9000), silence, ramp(frame, 19_000), silence, silence, ramp(frame, 29_000)]
      yield* stuck.send(other.map((audio) => ({ start: epoch, audio })))
      yield* stuck.end
      assertHeard((yield* playback(node)).audio, Buffer.concat([...spoken, ...other]))
    })
  )
)

it.effect("keeps audio of another sample rate for a time that is already recorded", () =>
  onNode((node) =>
    Effect.gen(function* () {
      const first = new Sender(node)
      yield* first.send(frames(20, 0, inOrder))
      yield* first.end
      const second = new Sender(node, { sampleRate: 16_000 })
      yield* second.send([{ start: epoch + 1, audio: ramp(16_000) }])
      yield* second.end
      const { audio, files } = yield* playback(node)
      assertHeard(audio, Buffer.concat([ramp(20 * frame), ramp(16_000)]))
      assert.deepStrictEqual(files, [
        [0, 20 * frame],
        [2 * rate, 16_000]
      ])
    })
  )
)

const Sent = Schema.Struct({
  /** Tenths of a millisecond. */
  at: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 6000 })),
  samples: Schema.Int.check(Schema.isBetween({ minimum: 10, maximum: 900 })),
  reconnect: Schema.Boolean
})

/** Samples of which no two are the same. */
const unique = (samples: number, from: number) => {
  const audio = Buffer.alloc(samples * 2)
  for (let index = 0; index < samples; index++) audio.writeUInt16LE(from + index, index * 2)
  return audio
}

it.effect.prop(
  "keeps every sample once, whatever its stamp",
  { sent: Arbitrary.array(Arbitrary.schema(Sent), { minLength: 1, maxLength: 30 }), exact: Schema.Boolean },
  ({ exact, sent }) =>
    onNode((node) =>
      Effect.gen(function* () {
        let count = 1
        let sender = new Sender(node, { exact })
        for (const { at, reconnect, samples } of sent) {
          if (reconnect) {
            yield* sender.end
            sender = new Sender(node, { exact })
          }
          yield* sender.send([{ start: epoch + at / 10_000, audio: unique(samples, count) }])
          count += samples
        }
        yield* sender.end
        const { audio } = yield* playback(node)
        const heard = new Uint16Array(audio.buffer, audio.byteOffset, audio.length / 2).toSorted()
        assertHeard(Buffer.from(heard.buffer), unique(count - 1, 1))
      })
    ),
  { arbitrary: { runs: 60 } }
)

/** In fifties of samples (6 ms): less than the tolerance is taken for jitter, on both sides of an end. */
const Cut = Schema.Struct({
  samples: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 30 })),
  /** Tenths of a millisecond. */
  jitter: Schema.Int.check(Schema.isBetween({ minimum: -9, maximum: 9 })),
  /** Reconnects before it, and sends so many samples again. */
  again: Schema.Int.check(Schema.isBetween({ minimum: -160, maximum: 160 }))
})

it.effect.prop(
  "keeps replayed audio once after reconnections, in any frames, with a jitter under a millisecond",
  { cuts: Arbitrary.array(Arbitrary.schema(Cut), { minLength: 1, maxLength: 30 }) },
  ({ cuts }) =>
    onNode((node) =>
      Effect.gen(function* () {
        let sender = new Sender(node)
        let [at, sent] = [0, 0]
        for (const { again, jitter, ...cut } of cuts) {
          const samples = cut.samples * 50
          if (again > 0) {
            yield* sender.end
            sender = new Sender(node)
            at = Math.max(0, at - again * 50)
          }
          yield* sender.send([{ start: epoch + at / rate + jitter / 10_000, audio: unique(samples, 1 + at) }])
          at += samples
          sent = Math.max(sent, at)
        }
        yield* sender.end
        assertHeard((yield* playback(node)).audio, unique(sent, 1))
      })
    ),
  { arbitrary: { runs: 60 } }
)
