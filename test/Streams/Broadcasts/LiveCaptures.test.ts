/** The captures of streams on a node: when they enter their broadcasts. */
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { TestClock } from "effect/testing"
import { DbTimeout, Notifications } from "../../../src/Db.ts"
import { StreamCaptures } from "../../../src/Pusher/StreamCaptures.ts"
import { Recording } from "../../../src/Recording.ts"
import {
  type AudioEnd,
  BroadcastRows,
  type Entry,
  type Heartbeat
} from "../../../src/Streams/Broadcasts/BroadcastRows.ts"
import { StreamsConfig } from "../../../src/Streams/StreamsConfig.ts"
import { environment } from "../../support/Settings.ts"
import { LiveCaptures } from "../../../src/Streams/Broadcasts/LiveCaptures.ts"

const noAnswer = new DbTimeout({ operation: "BroadcastRows", limit: "deadline" })

/** What the node has recorded. */
const recorded = { end: -Infinity, isGrowing: false }

const world = (rows: Partial<BroadcastRows["Service"]>) =>
  LiveCaptures.layer.pipe(
    Layer.provideMerge(StreamCaptures.layer),
    Layer.provide([
      Layer.mock(BroadcastRows, {
        heartbeat: () => Effect.succeed(new Map()),
        writeAudioEnds: () => Effect.void,
        leave: () => Effect.void,
        ...rows
      }),
      Layer.mock(Recording, {
        progress: () => Effect.sync(() => ({ ...recorded })),
        captures: () => [],
        journal: () => assert.fail("not read"),
        uploads: () => assert.fail("not read")
      }),
      Layer.mock(Notifications, { listen: () => Effect.void, isListening: () => false }),
      StreamsConfig.layer.pipe(Layer.provide(environment({})))
    ])
  )

const openOne = Effect.gen(function* () {
  const captures = yield* StreamCaptures
  const capture = { uid: "ada", grant: { stream: 7, keyHash: "" }, end: () => {} }
  return yield* Effect.orDie(Effect.flatMap(captures.open(capture), Effect.fromOption))
})

it.effect("enters its broadcast once the database is back, with the time of its first audio", () => {
  const entries: Array<Entry> = []
  const enter = (entry: Entry) => {
    entries.push(entry)
    return entries.length < 4
      ? Effect.fail(noAnswer)
      : Effect.succeedSome({ broadcast: 1, conversation: entry.conversation ?? entry.proposed })
  }
  return Effect.gen(function* () {
    const { find } = yield* LiveCaptures
    const captures = yield* StreamCaptures
    const feed = yield* openOne
    feed.received("talk", 100)
    yield* TestClock.adjust("10 seconds")
    assert.lengthOf(entries, 4)
    assert.deepInclude(entries[3], { stream: 7, conversation: "talk" })
    assert.isAtLeast(entries[3]?.age ?? 0, 1_000)
    assert.deepInclude(find(7), { uid: "ada", conversation: "talk" })
    assert.isTrue(Option.isNone(yield* captures.open({ uid: "ada", grant: undefined, end: () => {} })))
  }).pipe(Effect.scoped, Effect.provide(world({ enter })))
})

it.effect("begins a broadcast from now on when its own has ended, also if the database fails meanwhile", () => {
  const entries: Array<Entry> = []
  let hasEnded = false
  const rows: Partial<BroadcastRows["Service"]> = {
    enter: (entry) => {
      entries.push(entry)
      if (entries.length === 2) return Effect.fail(noAnswer)
      hasEnded = false
      return Effect.succeedSome({ broadcast: entries.length, conversation: entry.conversation ?? entry.proposed })
    },
    heartbeat: (heartbeats) =>
      Effect.sync(() => new Map(hasEnded ? heartbeats.map(({ capture }) => [capture, "ended" as const]) : []))
  }
  return Effect.gen(function* () {
    const { find } = yield* LiveCaptures
    const feed = yield* openOne
    feed.received("talk", 100)
    yield* TestClock.adjust("1 hour")
    assert.deepInclude(find(7), { conversation: "talk" })
    hasEnded = true
    yield* TestClock.adjust("10 seconds")
    assert.lengthOf(entries, 3)
    assert.isAtMost(entries[2]?.age ?? Infinity, 10_000)
    feed.received("talk", 100)
    assert.deepInclude(find(7), { uid: "ada", conversation: "talk" })
  }).pipe(Effect.scoped, Effect.provide(world(rows)))
})

it.effect("says where the recorded audio ends, also when its broadcast was ended before its capture", () => {
  const heartbeats: Array<Heartbeat> = []
  const left: Array<Heartbeat> = []
  let isStopped = false
  const rows: Partial<BroadcastRows["Service"]> = {
    enter: ({ conversation, proposed }) => Effect.succeedSome({ broadcast: 1, conversation: conversation ?? proposed }),
    heartbeat: (given) =>
      Effect.sync(() => {
        heartbeats.push(...given)
        return new Map(isStopped ? given.map(({ capture }) => [capture, "stopped" as const]) : [])
      }),
    leave: (heartbeat) => Effect.sync(() => void left.push(heartbeat))
  }
  return Effect.gen(function* () {
    recorded.end = -Infinity
    yield* Effect.gen(function* () {
      const feed = yield* openOne
      feed.received("talk", 100)
      yield* TestClock.adjust("5 seconds")
      recorded.end = 1_760_000_004.5
      yield* TestClock.adjust("5 seconds")
      isStopped = true
      yield* TestClock.adjust("5 seconds")
      recorded.end = 1_760_000_012
    }).pipe(Effect.scoped)
    assert.deepStrictEqual([...new Set(heartbeats.map(({ audioEnd }) => audioEnd))], [undefined, 1_760_000_004.5])
    assert.deepStrictEqual(
      left.map(({ audioEnd, broadcast, conversation }) => [broadcast, conversation, audioEnd]),
      [[1, "talk", 1_760_000_012]]
    )
  }).pipe(Effect.provide(world(rows)))
})

const endsOf = (ends: ReadonlyArray<AudioEnd>) => ends.map(({ audioEnd, broadcast }) => [broadcast, audioEnd])

it.effect(
  "says where the audio of a broadcast ends that its capture has changed for another one, until it is durable",
  () => {
    const written: Array<ReadonlyArray<unknown>> = []
    const rows: Partial<BroadcastRows["Service"]> = {
      enter: ({ conversation = "" }) =>
        Effect.succeedSome({ broadcast: conversation === "talk" ? 1 : 2, conversation }),
      writeAudioEnds: (given) => Effect.sync(() => void written.push(...endsOf(given)))
    }
    return Effect.gen(function* () {
      Object.assign(recorded, { end: 1_760_000_001, isGrowing: true })
      const feed = yield* openOne
      feed.received("talk", 100)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(written, [])
      feed.received("next", 100)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(written, [[1, 1_760_000_001]])
      Object.assign(recorded, { end: 1_760_000_002, isGrowing: false })
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(written.slice(1), [[1, 1_760_000_002]])
    }).pipe(Effect.scoped, Effect.provide(world(rows)))
  }
)

it.effect("says where the audio ends of a capture that ended while the database was away", () => {
  const written: Array<ReadonlyArray<unknown>> = []
  let isAway = false
  const rows: Partial<BroadcastRows["Service"]> = {
    enter: ({ conversation = "" }) => Effect.succeedSome({ broadcast: 1, conversation }),
    leave: () => noAnswer,
    writeAudioEnds: (given) => (isAway ? noAnswer : Effect.sync(() => void written.push(...endsOf(given))))
  }
  return Effect.gen(function* () {
    Object.assign(recorded, { end: 1_760_000_003, isGrowing: false })
    yield* Effect.gen(function* () {
      const feed = yield* openOne
      feed.received("talk", 100)
      yield* TestClock.adjust("1 second")
      isAway = true
    }).pipe(Effect.scoped)
    yield* TestClock.adjust("1 minute")
    assert.deepStrictEqual(written, [])
    isAway = false
    yield* TestClock.adjust("1 minute")
    assert.deepStrictEqual(written, [[1, 1_760_000_003]])
  }).pipe(Effect.provide(world(rows)))
})
