/** Replayed audio is kept once, and new audio is kept whole, whatever the stamps. */
import { assert, it } from "@effect/vitest"
import { Arbitrary, Effect, Schema } from "effect"
import { Bitstream } from "../../../src/Audio.ts"
import { ReplayCheck } from "../../../src/Recording/Capture/ReplayCheck.ts"
import { assertHeard, epoch, frame, frames, inOrder, playback, rate, Sender, unique } from "../support/Sender.ts"
import { onJournal, ramp } from "../support/TestNode.ts"

const reconnects: ReadonlyArray<readonly [string, (index: number) => number, number]> = [
  ["exactly", (index) => inOrder(30 + index), 0],
  ["with a jitter under a millisecond", (index) => inOrder(30 + index) + ((index * 7) % 19) / 1e4 - 9e-4, 0],
  ["20 ms later", (index) => inOrder(30 + index) + 0.02, 160],
  ["20 ms earlier", (index) => inOrder(30 + index) - 0.02, 0]
]

for (const [how, stamp, silence] of reconnects)
  it.effect(`keeps replayed audio once when it is sent again ${how}`, () =>
    onJournal(({ node }) =>
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
  onJournal(({ node }) =>
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
      // 30 s are 480 KB: eight spans of 64 KiB, plus rereads at their ends.
      assert.isAtMost(node.recalls, 18)
    })
  )
)

it.effect("keeps replayed audio once whose last samples end less than a millisecond after what was compared", () =>
  onJournal(({ node }) =>
    Effect.gen(function* () {
      const sender = new Sender(node)
      let from = 0
      for (let length = 780; length < 820; length++) {
        const messages = [0, 1, 2].map((index) => {
          const at = from + index * length
          return { start: epoch + at / rate, audio: ramp(length, at) }
        })
        yield* sender.send([...messages, ...messages.slice(1)])
        from += 3 * length
      }
      yield* sender.end
      assertHeard((yield* playback(node)).audio, ramp(from))
    })
  )
)

/** The step after a replayed frame, whose span ends `known` samples after it. The recorded audio ends at Unix second `end`. */
const stepAfterReplay = ({ end, known }: { readonly end: number; readonly known: number }) => {
  const bitstream = Bitstream.of("pcm16", rate)
  const check = new ReplayCheck(bitstream, true)
  const audio = ramp(frame)
  const runs = [{ at: frame, samples: frame, audio }]
  assert.strictEqual(check.next(epoch, audio, end, () => undefined)._tag, "Recall")
  check.recalled(epoch, end, { start: epoch - frame / rate, bitstream, samples: 2 * frame + known, runs }, 0)
  assert.deepStrictEqual(
    check.next(epoch, audio, end, () => undefined),
    { _tag: "Replay", samples: frame }
  )
  return check.next(epoch + frame / rate, ramp(frame, frame), end, () => undefined)
}

it("keeps the first sample after a replay of audio whose time lies between two samples", () => {
  const end = epoch + (frame + 0.5) / rate
  assert.deepInclude(stepAfterReplay({ end, known: frame }), { _tag: "New", at: end, samples: frame })
})

it("takes the few samples after what was compared for the rest of a replay", () => {
  const end = epoch + (frame + 5) / rate
  assert.deepStrictEqual(stepAfterReplay({ end, known: 0 }), { _tag: "Replay", samples: 5 })
})

it.effect("keeps audio once when it is replayed after its clock was set several times", () =>
  onJournal(({ node }) =>
    Effect.gen(function* () {
      // Set back by more each time: set forward, it would leave a pause.
      const shifts = [0, 0.4, 0.9, 1.5]
      const stamp = (index: number) => inOrder(index) - (shifts[Math.floor(index / 10)] ?? 1.5)
      const first = new Sender(node)
      yield* first.send(frames(40, 0, stamp))
      yield* first.end
      const second = new Sender(node)
      yield* second.send(frames(45, 5 * frame, (index) => stamp(5 + index)))
      yield* second.end
      assertHeard((yield* playback(node)).audio, ramp(50 * frame))
      assert.strictEqual(Math.round(node.replayed * 1e6) / 1e6, 3.5)
    })
  )
)

it.effect("keeps audio of a clock that was set back once when only the beginning of its message was recorded", () =>
  onJournal(({ node }) =>
    Effect.gen(function* () {
      const setBack = (index: number) => inOrder(index) - 1
      const first = new Sender(node)
      yield* first.send(frames(20, 0, inOrder))
      yield* first.send(frames(1, 20 * frame, () => setBack(20)))
      // Shorter than what is searched for.
      yield* first.send([{ start: setBack(21), audio: ramp(frame / 8, 21 * frame) }])
      yield* first.end
      const second = new Sender(node)
      yield* second.send(frames(5, 21 * frame, (index) => setBack(21 + index)))
      yield* second.end
      assertHeard((yield* playback(node)).audio, ramp(26 * frame))
    })
  )
)

it.effect("keeps audio of a clock that was set back once when it is replayed after a reconnection", () =>
  onJournal(({ node }) =>
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
  onJournal(({ node }) =>
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
  onJournal(({ node }) =>
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
  onJournal(({ node }) =>
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

/** Samples of the gap after its first frame, and how many of them the second frame fills. */
const gaps: ReadonlyArray<readonly [number, number]> = [
  [798, frame],
  [400, 400],
  [50, 50],
  // Too few to be found again.
  [3, 0]
]

for (const [gap, filled] of gaps)
  it.effect(
    `keeps audio once that fills a gap of ${gap} samples and continues after the end, when it is replayed`,
    () =>
      onJournal(({ node }) =>
        Effect.gen(function* () {
          const late = frames(3, 10 * frame, (index) => inOrder(10 + index))
          const first = new Sender(node)
          yield* first.send(frames(10, 0, inOrder))
          yield* first.send(frames(10, 20 * frame, (index) => inOrder(11 + index) + gap / rate))
          yield* first.send(late)
          yield* first.end
          for (const again of [late, late.slice(1), late.slice(2)]) {
            const sender = new Sender(node)
            yield* sender.send(again)
            yield* sender.end
          }
          const [end, last] = [11 * frame + filled, 13 * frame]
          const heard = [ramp(end), ramp(10 * frame, 20 * frame), ramp(last - end, end)]
          assertHeard((yield* playback(node)).audio, Buffer.concat(heard))
        })
      )
  )

it.effect("keeps a message once whose first samples are new and whose others are a replay", () =>
  onJournal(({ node }) =>
    Effect.gen(function* () {
      const sender = new Sender(node)
      yield* sender.send([
        { start: epoch, audio: ramp(frame) },
        { start: inOrder(1) + 16 / rate, audio: ramp(frame, frame + 16) },
        { start: inOrder(1), audio: ramp(frame, frame) }
      ])
      yield* sender.end
      assertHeard((yield* playback(node)).audio, ramp(2 * frame + 16))
    })
  )
)

it.effect("keeps replayed audio of a clock that stands still once, wherever a chunk of it ends", () =>
  onJournal(
    ({ node }) =>
      Effect.gen(function* () {
        const first = new Sender(node)
        yield* first.send(frames(74, 0, () => epoch))
        yield* first.end
        for (const replayed of [20, 15, 10, 5]) {
          const sender = new Sender(node)
          yield* sender.send(frames(replayed, (74 - replayed) * frame, () => epoch))
          yield* sender.end
        }
        assertHeard((yield* playback(node)).audio, ramp(74 * frame))
      }),
    { host: { chunkSeconds: 2 } }
  )
)

it.effect("keeps new audio that begins with silence, as recorded audio does before the end of a chunk", () =>
  onJournal(({ node }) =>
    Effect.gen(function* () {
      const silence = new Uint8Array(frame)
      const recorded = [Buffer.concat([ramp(frame), silence]), ramp(frame, frame)]
      for (const [index, audio] of recorded.entries()) {
        const sender = new Sender(node)
        yield* sender.send([{ start: epoch + index * 0.15, audio }])
        yield* sender.end
      }
      const other = Buffer.concat([silence, ramp(frame, 9_000)])
      const late = new Sender(node)
      yield* late.send([{ start: epoch + 0.1, audio: other }])
      yield* late.end
      assertHeard((yield* playback(node)).audio, Buffer.concat([...recorded, other]))
    })
  )
)

it.effect("treats silence as a replay while the clock runs, and keeps it when the clock stands still", () =>
  onJournal(({ node }) =>
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

/** Samples are in units of 50 (6 ms), as differences within the tolerance count as jitter. */
const Cut = Schema.Struct({
  samples: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 30 })),
  /** Tenths of a millisecond. */
  jitter: Schema.Int.check(Schema.isBetween({ minimum: -9, maximum: 9 })),
  /** If positive, reconnects first and sends this many units again. */
  again: Schema.Int.check(Schema.isBetween({ minimum: -160, maximum: 160 }))
})

it.effect.prop(
  "keeps replayed audio once after reconnections, in any frames, with a jitter under a millisecond",
  { cuts: Arbitrary.array(Arbitrary.schema(Cut), { minLength: 1, maxLength: 30 }) },
  ({ cuts }) =>
    onJournal(({ node }) =>
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
  { arbitrary: { runs: 20 } }
)
