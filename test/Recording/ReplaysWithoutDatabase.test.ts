/** Replays while the database is away: `src/Recording/Capture` compares them with the journal alone. */
import { assert, it } from "@effect/vitest"
import { Duration, Effect, Stream } from "effect"
import { frames, heard, loaded, open, send } from "./support/StoredDevice.ts"
import { failing, idle, inWorld, leaveJournal, node, rate, record } from "./support/StoringNode.ts"
import { ramp } from "./support/TestNode.ts"
import { temporaryDirectory } from "../support/TemporaryDirectory.ts"

const down = { enter: () => Effect.die("down"), compare: () => Stream.never }

it.live("recognizes replays of audio in the journal without the database, also after a kill", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const { put } = failing()
    yield* Effect.provide(record(30 * rate), node(dataDir, { put }))
    yield* Effect.gen(function* () {
      yield* send(frames(10 * rate, 35 * rate, 800))
      assert.isTrue((yield* heard).equals(ramp(35 * rate)))
    }).pipe(Effect.provide(node(dataDir, { put, enter: () => Effect.die("down"), compare: () => Stream.die("asked") })))
  }).pipe(inWorld)
)

it.live("recognizes replays in the journal without the database whose timestamps lie in time that has left it", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const { put } = failing()
    const setBack = (from: number, to: number) =>
      frames(from * rate, to * rate, 800).map(({ audio, start }) => ({ audio, start: start - 28 }))
    yield* Effect.provide(Effect.andThen(record(30 * rate), idle), node(dataDir))
    yield* Effect.gen(function* () {
      yield* leaveJournal
      const device = yield* open
      yield* loaded
      yield* device.send(setBack(30, 32))
    }).pipe(Effect.scoped, Effect.provide(node(dataDir, { put })))
    yield* Effect.gen(function* () {
      yield* send(setBack(31, 33))
      assert.isTrue((yield* heard).equals(ramp(33 * rate)))
    }).pipe(Effect.provide(node(dataDir, { put, ...down }, { conversationLookup: Duration.millis(500) })))
  }).pipe(inWorld)
)

for (const samples of [-0.3, 0, 0.3])
  it.live(
    `recognizes a replay in the journal without the database that seems to begin ${samples} samples after its chunk`,
    () =>
      Effect.gen(function* () {
        const dataDir = yield* temporaryDirectory
        const { put } = failing()
        const early = (from: number, to: number) =>
          frames(from * rate, to * rate, 800).map(({ audio, start }) => ({
            audio,
            start: start - 0.1 + samples / rate
          }))
        yield* Effect.provide(Effect.andThen(record(30 * rate), idle), node(dataDir))
        yield* Effect.gen(function* () {
          yield* leaveJournal
          yield* send(frames(40 * rate, 42 * rate, 800))
        }).pipe(Effect.provide(node(dataDir, { put })))
        yield* Effect.gen(function* () {
          yield* send(early(40, 43))
          assert.isTrue((yield* heard).equals(Buffer.concat([ramp(30 * rate), ramp(3 * rate, 40 * rate)])))
        }).pipe(Effect.provide(node(dataDir, { put, ...down }, { conversationLookup: Duration.millis(500) })))
      }).pipe(inWorld)
  )
