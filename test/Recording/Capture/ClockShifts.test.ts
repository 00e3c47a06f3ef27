/** How `src/Recording/Capture/ReplayCheck.ts` places the audio of clocks that are wrong. */
import { assert, it } from "@effect/vitest"
import { Arbitrary, Effect, Schema } from "effect"
import { assertHeard, epoch, frame, frames, inOrder, playback, rate, Sender, unique } from "../support/Sender.ts"
import { onJournal, ramp } from "../support/TestNode.ts"

for (const exact of [true, false])
  it.effect(`keeps all audio of a clock that stands still${exact ? "" : ", when spans are not exact"}`, () =>
    onJournal(({ node }) =>
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
        // Only the frame after a commit is compared with audio that has left the buffer.
        assert.isAtMost(node.recalls, 10)
      })
    )
  )

it.effect("keeps all audio of a clock of whole seconds in one chunk", () =>
  onJournal(({ node }) =>
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
  onJournal(({ node }) =>
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
    onJournal(({ node }) =>
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
  onJournal(({ node }) =>
    Effect.gen(function* () {
      const sender = new Sender(node)
      // A drift of one percent, so that the test is short.
      yield* sender.send(frames(300, 0, (index) => epoch + (index / 10) * 0.99))
      yield* sender.end
      const { audio, chunks, files } = yield* playback(node)
      assertHeard(audio, ramp(300 * frame))
      assert.deepStrictEqual([files, chunks], [[[0, 300 * frame]], 1])
      const { shifts: reported } = sender.heard
      assert.closeTo(reported.at(-1) ?? 0, 0.29, 0.02)
      assert.isTrue(reported.every((shift, index) => shift - (reported[index - 1] ?? 0) >= 0.01))
    })
  )
)

it.effect("keeps all audio whose stamps jitter with the arrival of frames", () =>
  onJournal(({ node }) =>
    Effect.gen(function* () {
      const sender = new Sender(node)
      yield* sender.send(frames(50, 0, (index) => inOrder(index) + (index % 2 === 0 ? -0.02 : 0.03)))
      yield* sender.end
      assertHeard((yield* playback(node)).audio, ramp(50 * frame))
    })
  )
)

it.effect("appends to the end while a clock is set back, and follows it once it is right again", () =>
  onJournal(({ node }) =>
    Effect.gen(function* () {
      const sender = new Sender(node)
      yield* sender.send(frames(20, 0, inOrder))
      yield* sender.send(frames(20, 20 * frame, (index) => inOrder(index) + 0.53))
      assert.deepStrictEqual(
        sender.heard.shifts.map((shift) => Math.round(shift * 1000) / 1000),
        [1.47]
      )
      assert.strictEqual(node.recalls, 1)
      // In the device's own time, so that it knows which audio to release.
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

it.effect("keeps audio of another sample rate for a time that is already recorded", () =>
  onJournal(({ node }) =>
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

it.effect("keeps recorded audio that is shorter than the gap after which new audio continues", () =>
  onJournal(({ node }) =>
    Effect.gen(function* () {
      const first = new Sender(node)
      yield* first.send([{ start: epoch + 0.5994, audio: unique(10, 1) }])
      yield* first.end
      const second = new Sender(node, { exact: false })
      yield* second.send([
        { start: epoch + 0.585, audio: unique(117, 11) },
        { start: epoch, audio: unique(798, 128) }
      ])
      yield* second.end
      assertHeard((yield* playback(node)).audio, Buffer.concat([unique(117, 11), unique(10, 1), unique(798, 128)]))
    })
  )
)

it.effect("overlaps recorded audio by no more than the tolerance", () =>
  onJournal(({ node }) =>
    Effect.gen(function* () {
      const sender = new Sender(node)
      yield* sender.send([
        { start: epoch + 0.4264, audio: unique(10, 1) },
        { start: epoch + 0.4097, audio: unique(142, 11) }
      ])
      yield* sender.end
      const { audio } = yield* playback(node)
      assertHeard(audio, Buffer.concat([unique(134, 11), unique(10, 1), unique(8, 145)]))
    })
  )
)

const Sent = Schema.Struct({
  /** Tenths of a millisecond. */
  at: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 6000 })),
  samples: Schema.Int.check(Schema.isBetween({ minimum: 10, maximum: 900 })),
  reconnect: Schema.Boolean
})

it.effect.prop(
  "keeps every sample once, whatever its stamp",
  { sent: Arbitrary.array(Arbitrary.schema(Sent), { minLength: 1, maxLength: 30 }), exact: Schema.Boolean },
  ({ exact, sent }) =>
    onJournal(({ node }) =>
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
  { arbitrary: { runs: 20 } }
)
