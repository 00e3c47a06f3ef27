/** `src/Pusher/Live/Audio.ts`: pieces of live audio for a sink. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Pusher from "../../../src/Pusher.ts"

const second = (value: number) => Buffer.alloc(16_000 * 2, value)

/** Records what a sink takes that wants the audio of `ada` in these lengths. */
const taken = (lengths: () => ReadonlyArray<number>) =>
  Effect.gen(function* () {
    const live = yield* Pusher.LiveAudio
    const pieces: Array<readonly [number, string, number]> = []
    yield* live.add({
      lengths: (uid) => (uid === "ada" ? lengths() : []),
      take: (_tap, seconds, { audio, conversation }) => void pieces.push([seconds, conversation, audio.length / 32_000])
    })
    const open = (uid: string) => live.open({ uid, sampleRate: 16_000, codec: "pcm16" })
    return { open, pieces }
  })

it.effect("cuts the audio into pieces of each length, and ends them with the conversation", () =>
  Effect.gen(function* () {
    const { open, pieces } = yield* taken(() => [2, 3])
    const tap = open("ada")
    for (const value of [1, 2, 3, 4]) tap.append("first", second(value))
    tap.flush("first")
    tap.append("second", second(5))
    tap.flush("second")
    tap.flush("second")
    assert.deepStrictEqual(pieces, [
      [2, "first", 2],
      [3, "first", 3],
      [2, "first", 2],
      [3, "first", 1],
      [2, "second", 1],
      [3, "second", 1]
    ])
  }).pipe(Effect.provide(Pusher.LiveAudio.layer))
)

it.effect(
  "copies nothing of users whose audio no sink wants, and ends pieces of a length that is not wanted any more",
  () =>
    Effect.gen(function* () {
      let lengths = [5]
      const { open, pieces } = yield* taken(() => lengths)
      const other = open("bob")
      other.append("talk", second(1))
      other.flush("talk")
      assert.deepStrictEqual(pieces, [])
      const tap = open("ada")
      tap.append("talk", second(1))
      lengths = [10]
      tap.append("talk", second(2))
      assert.deepStrictEqual(pieces, [[5, "talk", 1]])
    }).pipe(Effect.provide(Pusher.LiveAudio.layer))
)

it.effect("leaves audio out when unfinished pieces have 64 MiB, and takes audio again once they have ended", () =>
  Effect.gen(function* () {
    const { open, pieces } = yield* taken(() => [60])
    const minute = Buffer.alloc(50 * 32_000)
    const taps = Array.from({ length: 45 }, () => open("ada"))
    for (const tap of taps) tap.append("talk", minute)
    for (const tap of taps) tap.flush("talk")
    assert.lengthOf(pieces, Math.floor((64 * 1024 * 1024) / minute.length))
    const [last] = taps.slice(-1)
    last?.append("talk", minute)
    last?.flush("talk")
    assert.deepStrictEqual(pieces.at(-1), [60, "talk", 50])
  }).pipe(Effect.provide(Pusher.LiveAudio.layer))
)
