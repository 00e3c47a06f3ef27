/** Which of a client's timestamps are in the store. */
import { assert, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { AckProgress } from "../../../src/Recording/Capture/AckProgress.ts"
import type { Acknowledgement } from "../../../src/Recording/Capture/Capture.ts"
import { StoredProgress } from "../../../src/Recording/Capture/StoredProgress.ts"

it("turns positions into the timestamps of audio that was placed with shifts", () => {
  const progress = new StoredProgress()
  assert.isUndefined(progress.through(Infinity))
  progress.placed(100, 110, 110)
  progress.placed(110, 120, 120)
  // Two seconds later than its timestamps, then by them again.
  progress.placed(120, 130, 128)
  progress.placed(140, 150, 150)
  const found = [90, 100, 105, 120, 125, 130, 135, 145, Infinity].map((unstoredFrom) => progress.through(unstoredFrom))
  assert.deepStrictEqual(found, [undefined, undefined, 105, 120, 123, 128, 128, 145, 150])
})

it("reports nothing of audio that was placed before what is not stored", () => {
  const progress = new StoredProgress()
  progress.placed(100, 110, 110)
  progress.placed(50, 60, 60)
  assert.deepStrictEqual([progress.through(50), progress.through(105)], [undefined, 105])
})

const Placed = Schema.Struct({
  seconds: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 5 })),
  gap: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 })),
  slip: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 }))
})

it.prop(
  "never reports a timestamp whose audio, or audio before it, is not stored",
  [
    Schema.Array(Placed).check(Schema.isMaxLength(200)),
    Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 900 }))
  ],
  ([parts, unstoredFrom]) => {
    const progress = new StoredProgress()
    let [at, stamp] = [0, 0]
    const placed: Array<{ readonly at: number; readonly from: number; readonly to: number }> = []
    for (const { gap, seconds, slip } of parts) {
      at += gap + slip
      stamp += gap
      progress.placed(at, at + seconds, stamp + seconds)
      placed.push({ at, from: stamp, to: stamp + seconds })
      at += seconds
      stamp += seconds
    }
    const found = progress.through(unstoredFrom) ?? -1
    for (const { at, from, to } of placed)
      if (from < found) assert.isAtMost(at + Math.min(found, to) - from, unstoredFrom)
    // Up to 64 shifts are known.
    if (parts.filter(({ slip }) => slip > 0).length > 60) return
    const stored = placed
      .filter(({ at }) => at < unstoredFrom)
      .map(({ at, from, to }) => Math.min(to, from + unstoredFrom - at))
    assert.isAtLeast(found, Math.max(-1, ...stored))
  }
)

const progressOf = () => {
  const acks: Array<Acknowledgement> = []
  const state = { now: 10_000 }
  const progress = new AckProgress(
    () => state.now,
    (ack) => acks.push(ack)
  )
  return { acks, progress, state }
}

it.effect("acknowledges stored audio of a conversation that was left only when all of its audio is synced", () =>
  Effect.sync(() => {
    const { acks, progress } = progressOf()
    progress.enter({ id: "a", unstoredFrom: 100.5 })
    progress.placed(100, 101, 101, 32_000, false)
    progress.leave()
    progress.reportStored()
    assert.deepStrictEqual(acks, [])
    progress.drained(false)
    progress.reportStored()
    assert.deepStrictEqual(acks, [])
    progress.durable()
    progress.reportStored()
    assert.deepStrictEqual(acks, [
      { conversation: "a", through: 101, bytes: 32_000, stored: undefined },
      { conversation: "a", through: 101, bytes: 32_000, stored: 100.5 }
    ])
  })
)

it.effect("acknowledges what is stored after the conversation was left", () =>
  Effect.sync(() => {
    const { acks, progress } = progressOf()
    const a = { id: "a", unstoredFrom: 100 }
    progress.enter(a)
    progress.placed(100, 101, 101, 32_000, false)
    progress.drained(false)
    progress.durable()
    progress.leave()
    progress.reportStored()
    a.unstoredFrom = Infinity
    progress.reportStored()
    progress.reportStored()
    const ack = { conversation: "a", through: 101, bytes: 32_000 }
    assert.deepStrictEqual(acks, [
      { ...ack, stored: undefined },
      { ...ack, stored: 101 }
    ])
  })
)

it.effect("counts the bytes of a conversation that is selected again from there, and what is stored from before", () =>
  Effect.sync(() => {
    const { acks, progress, state } = progressOf()
    const a = { id: "a", unstoredFrom: 100 }
    progress.enter(a)
    progress.placed(100, 101, 101, 32_000, false)
    progress.drained(false)
    progress.durable()
    progress.leave()
    progress.enter(a)
    a.unstoredFrom = Infinity
    progress.reportStored()
    progress.placed(101, 102, 102, 16_000, false)
    progress.drained(false)
    state.now += 1_000
    progress.durable()
    assert.deepStrictEqual(acks, [
      { conversation: "a", through: 101, bytes: 32_000, stored: undefined },
      { conversation: "a", through: 102, bytes: 16_000, stored: 102 }
    ])
  })
)
