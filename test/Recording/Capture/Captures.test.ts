/** Captures that share a conversation. */
import { assert, it } from "@effect/vitest"
import { Deferred, Duration, Effect } from "effect"
import { Recording } from "../../../src/Recording.ts"
import { LiveConversations } from "../../../src/Recording/Journal/LiveConversations.ts"
import { chunksOf, epoch, idle, inWorld, node, rate, record } from "../support/StoringNode.ts"
import { random } from "../../support/Crash.ts"
import { ramp } from "../support/TestNode.ts"
import { temporaryDirectory } from "../../support/TemporaryDirectory.ts"

it.live("keeps the audio of two captures of a conversation once, continues the later and ends the earlier", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    yield* Effect.gen(function* () {
      yield* record(8000, 160_000)
      yield* idle
      const recording = yield* Recording
      const open = Effect.gen(function* () {
        const [room, ended] = [yield* Deferred.make<void>(), yield* Deferred.make<string>()]
        const acks: Array<number> = []
        const capture = yield* recording.open({
          uid: "u",
          sampleRate: rate,
          codec: "pcm16",
          exact: true,
          onAck: ({ bytes }) => acks.push(bytes),
          onRoom: () => Deferred.doneUnsafe(room, Effect.void),
          onFailure: ({ _tag }) => Deferred.doneUnsafe(ended, Effect.succeed(_tag))
        })
        capture.switchTo("c")
        return { capture, acks, room: Deferred.await(room), ended: Deferred.await(ended) }
      })
      const first = yield* open
      yield* first.room
      first.capture.append(epoch, ramp(8000))
      first.capture.append(epoch + 1, ramp(8000, 8000))
      const second = yield* open
      assert.strictEqual(yield* first.ended, "Superseded")
      assert.strictEqual(first.acks.at(-1), 32_000)
      assert.strictEqual(first.capture.append(epoch + 2, ramp(8000, 16_000)), "full")
      yield* second.room
      assert.strictEqual((yield* LiveConversations).get("u", "c")?.chunkCount, 2)
      second.capture.append(epoch + 1, ramp(16_000, 8000))
    }).pipe(
      Effect.scoped,
      Effect.andThen(chunksOf("u", "c")),
      Effect.map(({ audio }) => assert.deepStrictEqual(audio, Buffer.concat([ramp(24_000), ramp(8000, 160_000)]))),
      Effect.provide(node(dataDir))
    )
  }).pipe(inWorld)
)

it.live("ends a capture that is superseded while it enters, also several in a row", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const ended: Array<string> = []
    yield* Effect.gen(function* () {
      const recording = yield* Recording
      const room = yield* Deferred.make<void>()
      for (const index of [0, 1, 2]) {
        const capture = yield* recording.open({
          uid: "u",
          sampleRate: rate,
          codec: "pcm16",
          exact: true,
          onAck: () => {},
          onRoom: () => (index === 2 ? Deferred.doneUnsafe(room, Effect.void) : undefined),
          onFailure: ({ _tag }) => ended.push(`${index} ${_tag}`)
        })
        capture.switchTo("c")
      }
      yield* Deferred.await(room)
      assert.deepStrictEqual(ended, ["0 Superseded", "1 Superseded"])
      assert.strictEqual((yield* LiveConversations).get("u", "c")?.captures, 1)
    }).pipe(Effect.scoped, Effect.provide(node(dataDir)))
  }).pipe(inWorld)
)

it.live("spreads the seals of captures that start together over the length of a chunk", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const lengths = yield* Effect.gen(function* () {
      const captures = Array.from({ length: 20 }, (_, index) => `c${index}`)
      for (const id of captures) yield* record(8000, 0, id)
      yield* idle
      return yield* Effect.forEach(captures, (id) => Effect.map(chunksOf("u", id), ({ lengths }) => lengths[0]))
    }).pipe(Effect.provide(node(dataDir, { random: random(1) }, { chunkDuration: Duration.seconds(1) })))
    assert.isAbove(new Set(lengths).size, 15)
    assert.isTrue(lengths.every((length) => length !== undefined && length >= 800 && length <= 8000))
  }).pipe(inWorld)
)

it.live("enters a known conversation with one query", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    let queries = 0
    const enter = <A, E>(query: Effect.Effect<A, E>) => Effect.tap(query, () => Effect.sync(() => queries++))
    yield* Effect.gen(function* () {
      yield* record(8000)
      yield* idle
      assert.isAbove(queries, 1)
      queries = 0
      yield* record(8000, 8000)
      assert.strictEqual(queries, 1)
      assert.deepStrictEqual((yield* chunksOf("u", "c")).audio, Buffer.from(ramp(16_000)))
    }).pipe(Effect.provide(node(dataDir, { enter })))
  }).pipe(inWorld)
)
