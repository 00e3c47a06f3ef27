/** Captures that share a conversation. */
import { assert, it } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import { Recording } from "../../src/Recording.ts"
import { LiveConversations } from "../../src/Recording/LiveConversations.ts"
import { idle, inWorld, node, record } from "./support/StoringNode.ts"
import { temporaryDirectory } from "./support/TestNode.ts"

it.live("counts what is stored of a conversation once, although two captures enter it at the same time", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    yield* Effect.gen(function* () {
      for (const from of [0, 80_000, 160_000]) yield* record(8000, from)
      yield* idle
      const recording = yield* Recording
      const rooms = yield* Effect.forEach([1, 2], () => Deferred.make<void>())
      for (const room of rooms) {
        const capture = yield* recording.open({
          uid: "u",
          sampleRate: 8000,
          codec: "pcm16",
          exact: true,
          onAck: () => {},
          onRoom: () => Deferred.doneUnsafe(room, Effect.void),
          onFailure: () => {}
        })
        capture.switchTo("c")
      }
      yield* Effect.forEach(rooms, Deferred.await)
      assert.strictEqual((yield* LiveConversations).get("u", "c")?.chunkCount, 3)
    }).pipe(Effect.scoped, Effect.provide(node(dataDir)))
  }).pipe(inWorld)
)
