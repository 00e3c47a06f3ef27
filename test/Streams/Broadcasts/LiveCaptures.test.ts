/** The captures of streams on a node: when they enter their broadcasts, and their bitrate. */
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Option, Schema } from "effect"
import { TestClock } from "effect/testing"
import { DbTimeout, Notifications } from "../../../src/Db.ts"
import { StreamCaptures } from "../../../src/Pusher/StreamCaptures.ts"
import { BroadcastRows, type Entry } from "../../../src/Streams/Broadcasts/BroadcastRows.ts"
import { StreamsConfig } from "../../../src/Streams/StreamsConfig.ts"
import { environment } from "../../support/Settings.ts"
import { BitrateWindow, LiveCaptures } from "../../../src/Streams/Broadcasts/LiveCaptures.ts"

const feed = (window: BitrateWindow, from: number, to: number, bytesPerSecond: number) => {
  for (let at = from; at < to; at += 100) window.add(bytesPerSecond / 10, at)
}

it.prop(
  "is that of a steady capture, whenever it began and however long it lasts",
  {
    from: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 10_000_000 })),
    seconds: Schema.Int.check(Schema.isBetween({ minimum: 2, maximum: 90 }))
  },
  ({ from, seconds }) => {
    const window = new BitrateWindow()
    const end = from + seconds * 1_000
    feed(window, from, end, 32_000)
    assert.approximately(window.bitrate(end), 256_000, 256_000 / (10 * Math.min(seconds, 29)) + 1)
  }
)

it("falls to zero within 30 seconds of silence, and counts anew after them", () => {
  const window = new BitrateWindow()
  assert.strictEqual(window.bitrate(5_000), 0)
  feed(window, 0, 30_000, 32_000)
  assert.approximately(window.bitrate(45_000), 128_000, 9_000)
  assert.strictEqual(window.bitrate(60_000), 0)
  feed(window, 100_000, 104_000, 16_000)
  assert.approximately(window.bitrate(104_000), 128_000, 4_000)
})

const noAnswer = new DbTimeout({ operation: "BroadcastRows", limit: "deadline" })

const world = (rows: Partial<BroadcastRows["Service"]>) =>
  LiveCaptures.layer.pipe(
    Layer.provideMerge(StreamCaptures.layer),
    Layer.provide([
      Layer.mock(BroadcastRows, { beat: () => Effect.succeed(new Map()), leave: () => Effect.void, ...rows }),
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
    beat: (beats) => Effect.sync(() => new Map(hasEnded ? beats.map(({ capture }) => [capture, "ended" as const]) : []))
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
