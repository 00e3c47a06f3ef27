/** `src/Recording/Journal/LiveConversations.ts`: one object for each conversation, however late the last one is given up. */
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { LiveConversations } from "../../../src/Recording/Journal/LiveConversations.ts"
import { temporaryDirectory } from "../../support/TemporaryDirectory.ts"
import { journalIn } from "../support/TestNode.ts"

it.effect(
  "keeps a conversation that a capture records when an earlier one of the same id is learned to be unused",
  () =>
    Effect.gen(function* () {
      const journal = journalIn(yield* temporaryDirectory)
      yield* Effect.gen(function* () {
        const live = yield* LiveConversations
        const before = live.ensure("u", "c")
        live.removeIfUnused(before)
        const now = live.ensure("u", "c")
        now.captures++
        yield* live.learn(before, 0, 1)
        assert.strictEqual(live.get("u", "c"), now)
      }).pipe(Effect.provide(LiveConversations.layer.pipe(Layer.provide(journal))))
    }).pipe(Effect.scoped)
)
