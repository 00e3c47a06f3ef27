/** Conversations that this node records, or has audio of in its journal: the state that is not in the database yet. */
import { Clock, Context, Effect, Layer } from "effect"
import { Journal } from "./Journal.ts"
import type { JournalChunk } from "./JournalChunk.ts"
import { type JournalUsage, LiveConversation } from "./LiveConversation.ts"

/** Bounded by the node's captures and by what its journal holds. */
export class LiveConversations extends Context.Service<
  LiveConversations,
  {
    readonly get: (uid: string, id: string) => LiveConversation | undefined
    readonly all: () => Iterable<LiveConversation>
    readonly of: (uid: string) => Iterable<LiveConversation>
    readonly ensure: (uid: string, id: string) => LiveConversation
    /** Removes the conversation if no capture records it and the journal has no chunk of it. */
    readonly removeIfUnused: (conversation: LiveConversation) => void
    readonly chunks: () => Iterable<JournalChunk>
    readonly chunk: (uid: string, conversation: string, id: string) => JournalChunk | undefined
    readonly release: (chunk: JournalChunk) => Effect.Effect<void>
    readonly isPurged: (chunk: JournalChunk) => boolean
    /** See `LiveConversation.learn`. Releases what it removes, or leaves it in `chunks` until an upload has removed the object. */
    readonly learn: (conversation: LiveConversation, end: number, now: number) => Effect.Effect<void>
    /** Calls `forget` whenever chunks leave a conversation, in the same instant. */
    readonly whenRemoved: (forget: (conversation: LiveConversation) => void) => void
  }
>()("spillway/Recording/Journal/LiveConversations") {
  static readonly layer = Layer.effect(
    LiveConversations,
    Effect.suspend(() => make)
  )
}

const make = Effect.gen(function* () {
  const journal = yield* Journal
  const clock = yield* Clock.Clock
  const users = new Map<
    string,
    { readonly usage: JournalUsage; readonly conversations: Map<string, LiveConversation> }
  >()

  /** Purged chunks that may be stored. */
  const purged = new Set<JournalChunk>()

  let removed: (conversation: LiveConversation) => void = () => {}

  const get = (uid: string, id: string) => users.get(uid)?.conversations.get(id)
  const ensure = (uid: string, id: string) => {
    const user = users.get(uid) ?? { usage: { chunks: 0 }, conversations: new Map<string, LiveConversation>() }
    users.set(uid, user)
    const createdAt = new Date(clock.currentTimeMillisUnsafe())
    const conversation = user.conversations.get(id) ?? new LiveConversation(uid, id, createdAt, user.usage)
    user.conversations.set(id, conversation)
    return conversation
  }
  const removeIfUnused = (conversation: LiveConversation) => {
    if (conversation.captures > 0 || !conversation.isEmpty) return
    const user = users.get(conversation.uid)
    // Another one may have followed it.
    if (user?.conversations.get(conversation.id) !== conversation) return
    user.conversations.delete(conversation.id)
    if (user.conversations.size === 0) users.delete(conversation.uid)
  }
  const all = function* () {
    for (const { conversations } of users.values()) yield* conversations.values()
  }
  const chunks = function* () {
    for (const conversation of all()) yield* conversation.chunks
    yield* purged
  }
  for (const chunk of journal.recovered) ensure(chunk.uid, chunk.conversation).addChunk(chunk)

  return LiveConversations.of({
    get,
    all,
    of: (uid) => users.get(uid)?.conversations.values() ?? [],
    ensure,
    removeIfUnused,
    chunks,
    chunk: (uid, conversation, id) => get(uid, conversation)?.chunk(id),
    release: (chunk) =>
      Effect.suspend(() => {
        purged.delete(chunk)
        const conversation = get(chunk.uid, chunk.conversation)
        if (conversation !== undefined) {
          conversation.removeChunk(chunk)
          removed(conversation)
          removeIfUnused(conversation)
        }
        return journal.release(chunk)
      }),
    isPurged: (chunk) => purged.has(chunk) || get(chunk.uid, chunk.conversation)?.hasPurged(chunk) === true,
    learn: (conversation, end, now) =>
      Effect.suspend(() => {
        const found = conversation.learn(end, now)
        for (const chunk of found) {
          if (chunk.mayBeStored || chunk.state === "uploading") purged.add(chunk)
          // At once, so that no upload begins.
          else chunk.state = "released"
        }
        removed(conversation)
        removeIfUnused(conversation)
        const unstored = found.filter(({ state }) => state === "released")
        return Effect.forEach(unstored, journal.release, { discard: true })
      }).pipe(Effect.uninterruptible),
    whenRemoved: (forget) => {
      removed = forget
    }
  })
})
