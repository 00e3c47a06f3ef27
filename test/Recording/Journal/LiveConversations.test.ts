/** `src/Recording/Journal/LiveConversations.ts`: one object for each conversation, however late the last one is given up. */
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { LiveConversation } from "../../../src/Recording/Journal/LiveConversation.ts"
import { LiveConversations } from "../../../src/Recording/Journal/LiveConversations.ts"
import { temporaryDirectory } from "../../support/TemporaryDirectory.ts"
import { journalIn, recordingConfig } from "../support/TestNode.ts"

const writer = (conversation: LiveConversation | undefined) => {
  const ended: Array<string> = []
  const nothing = () => {}
  const purged = () => void ended.push("purged")
  return {
    conversation,
    ended,
    supersede: nothing,
    seal: nothing,
    isSealing: false,
    loaded: nothing,
    lost: nothing,
    purged
  }
}

it("ends all writers that a purge has caught, also one that another supersedes, but not one that enters later", () => {
  const conversation = new LiveConversation("u", "c", new Date(0), { chunks: 0 })
  conversation.learn(0, 10)
  const [superseded, open, entering] = [writer(conversation), writer(conversation), writer(undefined)]
  for (const each of [superseded, open, entering]) conversation.writers.add(each)
  conversation.learn(15, 20)
  assert.deepStrictEqual([superseded.ended, open.ended, entering.ended], [["purged"], ["purged"], []])
})

it("knows no time of a purge that runs, whose end may be earlier than when it is seen", () => {
  const conversation = new LiveConversation("u", "c", new Date(0), { chunks: 0 })
  conversation.learn(0, 10)
  conversation.learn(Infinity, 20)
  assert.strictEqual(conversation.knownAt, 10)
  conversation.learn(19, 30)
  assert.strictEqual(conversation.knownAt, 30)
})

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
        now.writers.add(writer(now))
        yield* live.learn(before, 0, 1)
        assert.strictEqual(live.get("u", "c"), now)
      }).pipe(Effect.provide(LiveConversations.layer.pipe(Layer.provide([journal, recordingConfig()]))))
    }).pipe(Effect.scoped)
)
