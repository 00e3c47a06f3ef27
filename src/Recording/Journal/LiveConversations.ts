/** Conversations that this node records, or has audio of in its journal: the state that is not in the database yet. */
import { Clock, Context, Duration, Effect, Layer } from "effect"
import { Journal } from "./Journal.ts"
import type { JournalChunk } from "./JournalChunk.ts"
import { type JournalUsage, LiveConversation } from "./LiveConversation.ts"
import { RecordingConfig } from "../RecordingConfig.ts"

/** Share of the journal's budget. While more is used, stored chunks are released at once. */
const retainedShare = 0.25

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
    /** Keeps a stored chunk in the journal for the replay window, unless the journal needs the space. */
    readonly retain: (chunk: JournalChunk) => Effect.Effect<void>
    /** Releases retained chunks: those whose window has passed, or all of them. */
    readonly releaseRetained: (which: "old" | "all") => Effect.Effect<void>
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
  const windowMillis = Duration.toMillis((yield* RecordingConfig).replayWindow)
  const users = new Map<
    string,
    { readonly usage: JournalUsage; readonly conversations: Map<string, LiveConversation> }
  >()

  /** Purged chunks that may be stored. */
  const purged = new Set<JournalChunk>()

  /** Stored chunks, oldest first, with the Unix milliseconds of their storage. Eviction may have released some of them. */
  const retained = new Map<JournalChunk, number>()

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

  const release = (chunk: JournalChunk) =>
    Effect.suspend(() => {
      purged.delete(chunk)
      retained.delete(chunk)
      const conversation = get(chunk.uid, chunk.conversation)
      if (conversation !== undefined) {
        conversation.removeChunk(chunk)
        removed(conversation)
        removeIfUnused(conversation)
      }
      return journal.release(chunk)
    })
  const isPurged = (chunk: JournalChunk) =>
    purged.has(chunk) || get(chunk.uid, chunk.conversation)?.hasPurged(chunk) === true
  const retain = (chunk: JournalChunk) =>
    Effect.suspend(() => {
      const conversation = get(chunk.uid, chunk.conversation)
      const { budget, bytes } = journal.stats()
      if (conversation === undefined || isPurged(chunk) || bytes > budget * retainedShare) return release(chunk)
      conversation.retain(chunk)
      chunk.state = "retained"
      retained.set(chunk, clock.currentTimeMillisUnsafe())
      removed(conversation)
      return Effect.void
    })

  return LiveConversations.of({
    get,
    all,
    of: (uid) => users.get(uid)?.conversations.values() ?? [],
    ensure,
    removeIfUnused,
    chunks,
    chunk: (uid, conversation, id) => get(uid, conversation)?.chunk(id),
    release,
    retain,
    releaseRetained: (which) =>
      Effect.suspend(() => {
        const since = which === "all" ? Infinity : clock.currentTimeMillisUnsafe() - windowMillis
        const due: Array<JournalChunk> = []
        for (const [chunk, at] of retained) {
          if (at > since) break
          due.push(chunk)
        }
        return Effect.forEach(due, release, { discard: true })
      }),
    isPurged,
    learn: (conversation, end, now) =>
      Effect.suspend(() => {
        const found = conversation.learn(end, now)
        for (const chunk of found) {
          const isDone = chunk.state === "retained" || chunk.state === "released"
          if (!isDone && (chunk.mayBeStored || chunk.state === "uploading")) purged.add(chunk)
          // At once, so that no upload begins.
          else chunk.state = "released"
        }
        removed(conversation)
        removeIfUnused(conversation)
        const released = found.filter(({ state }) => state === "released")
        for (const chunk of released) retained.delete(chunk)
        return Effect.forEach(released, journal.release, { discard: true })
      }).pipe(Effect.uninterruptible),
    whenRemoved: (forget) => {
      removed = forget
    }
  })
})
