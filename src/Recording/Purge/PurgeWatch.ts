/**
 * Ends what this node does for purged conversations: their captures, and what the journal has of them. The fence of the index
 * alone keeps them deleted; this makes it visible to devices within seconds, and frees the journal.
 */
import { Context, Effect, Layer, Schedule, Schema, Semaphore } from "effect"
import { Storage, type StorageRefused, type StorageUnavailable } from "../../Storage.ts"
import { Db, type DbError } from "../../Db.ts"
import * as Fence from "./Fence.ts"
import type { LiveConversation } from "../Journal/LiveConversation.ts"
import { ChunkRows } from "../Catalog/ChunkRows.ts"
import type { JournalChunk } from "../Journal/JournalChunk.ts"
import { LiveConversations } from "../Journal/LiveConversations.ts"

/** Captures on other nodes end within 5 s of the start of a purge. */
const watchEvery = "2 seconds"

/** Conversations of a query; several are sent for more. */
const batch = 1_000

export class PurgeWatch extends Context.Service<
  PurgeWatch,
  {
    /** Ends captures of purged conversations, and releases their chunks. */
    readonly check: Effect.Effect<void, DbError>
    /** A `knownAt` for all conversations: no purge ran then. Zero if the last check found one. */
    readonly quietAt: () => number
    /**
     * Removes the object of a chunk whose conversation was purged while the chunk was uploaded. The chunk is released
     * afterwards, so a kill in between repeats both. The object stays if the same audio was sent again after the purge.
     */
    removeObject(chunk: JournalChunk, key: string): Effect.Effect<void, DbError | StorageUnavailable | StorageRefused>
  }
>()("spillway/Recording/Purge/PurgeWatch") {
  static readonly layer = Layer.effect(
    PurgeWatch,
    Effect.suspend(() => make)
  )
}

const decodeState = Schema.decodeUnknownEffect(
  Schema.Tuple([Schema.Struct({ now: Schema.Finite, isQuiet: Schema.Boolean })])
)
const decodeEnds = Schema.decodeUnknownEffect(
  Schema.Array(Schema.Struct({ n: Schema.Int, end: Schema.NullOr(Schema.Finite) }))
)

const make = Effect.gen(function* () {
  const db = yield* Db
  const live = yield* LiveConversations
  const rows = yield* ChunkRows
  const storage = yield* Storage
  /** `now` of the last check, from the database. */
  let checkedAt = 0
  let quietAt = 0
  /** Conversations with `isPurged`, until their last chunk is released. */
  const purged = new Set<LiveConversation>()

  /** Quiet: no purge is running or has ended since the last check. */
  const state = Effect.suspend(() =>
    db.read("PurgeWatch.state", (sql) =>
      sql`
        select ${Fence.now(sql)} as now, not exists (
          select from purges where started_at is not null and finished_at is null
        ) and not exists (
          select from purges
          where finished_at > to_timestamp(${String(checkedAt)}::float8 / 1000) and started_at is not null
        ) as "isQuiet"`.pipe(Effect.flatMap(decodeState), Effect.catchTag("SchemaError", Effect.die))
    )
  )

  /** When the last purge of each conversation ended, rounded up: null while one runs. None without a purge. */
  const ends = (conversations: ReadonlyArray<LiveConversation>) => {
    const wanted = conversations.map(({ id, uid }, n) => ({ n, uid, id }))
    return db.read("PurgeWatch.ends", (sql) =>
      sql`
        select w.n, case when bool_and(p.finished_at is not null)
          then ceil(extract(epoch from max(p.finished_at)) * 1000)::float8 end as end
        from json_to_recordset(${JSON.stringify(wanted)}::json) as w(n int, uid text, id text)
        cross join lateral (
          (
            select finished_at from purges
            where uid = w.uid and conversation_id = w.id and started_at is not null order by finished_at desc limit 1
          )
          union all
          (
            select finished_at from purges
            where uid = w.uid and conversation_id is null and started_at is not null order by finished_at desc limit 1
          )
        ) as p
        group by w.n`.pipe(Effect.flatMap(decodeEnds), Effect.catchTag("SchemaError", Effect.die))
    )
  }

  /** `end`: milliseconds, infinite while a purge runs, zero without one. */
  const apply = Effect.fnUntraced(function* (conversation: LiveConversation, end: number, now: number) {
    const isRunning = end > now
    // What has just entered without the database is known to be purged only while the purge runs.
    const isOlder = conversation.knownAt > 0 && conversation.knownAt < end
    const chunks = [...conversation.chunks].filter(({ knownAt }) => knownAt < end)
    const wasPurged = conversation.isPurged
    conversation.purgedBefore = isRunning || chunks.length > 0 ? end : 0
    if (isRunning || isOlder) conversation.writer?.purged()
    for (const chunk of chunks) {
      const isIdle = chunk.state === "waiting" || chunk.state === "queued"
      if (isIdle && !chunk.mayBeStored) yield* live.release(chunk)
    }
    // Others are released by the capture that has them, or by an upload, which removes their objects. Until then nothing else is recorded: it would be
    // compared with purged audio. What was recorded after the purge stays.
    conversation.purgedBefore = isRunning || [...conversation.chunks].some(({ knownAt }) => knownAt < end) ? end : 0
    // A capture would record on without acknowledgements: nothing loads the conversation again.
    if (conversation.isPurged) conversation.writer?.purged()
    conversation.knownAt = now
    if (conversation.isPurged) purged.add(conversation)
    else purged.delete(conversation)
    if (wasPurged || conversation.isPurged || isOlder) conversation.forget()
    live.removeIfUnused(conversation)
  })

  const lock = yield* Semaphore.make(1)
  const check = Effect.gen(function* () {
    const [{ isQuiet, now }] = yield* state
    quietAt = isQuiet ? now : 0
    if (!isQuiet || purged.size > 0) {
      const all = [...live.all()]
      for (let at = 0; at < all.length; at += batch) {
        const some = all.slice(at, at + batch)
        const found = new Map((yield* ends(some)).map(({ end, n }) => [n, end ?? Infinity]))
        for (const [n, conversation] of some.entries()) yield* apply(conversation, found.get(n) ?? 0, now)
      }
      for (const each of purged) if (live.get(each.uid, each.id) !== each) purged.delete(each)
    }
    checkedAt = now
  }).pipe(lock.withPermit)

  yield* check.pipe(
    Effect.catchCause((cause) => Effect.logDebug("purges could not be read", cause)),
    Effect.repeat(Schedule.spaced(watchEvery)),
    Effect.forkScoped
  )
  const removeObject = Effect.fnUntraced(
    function* (chunk: JournalChunk, key: string) {
      const { generation } = yield* storage.head(key)
      const others = [...(live.get(chunk.uid, chunk.conversation)?.chunks ?? [])]
      if (others.some((other) => other !== chunk && other.start === chunk.start)) return
      if (!(yield* rows.isReferenced(chunk, key))) yield* storage.remove(key, { generation })
    },
    Effect.catchTag("ObjectNotFound", () => Effect.void)
  )

  return PurgeWatch.of({ check, quietAt: () => quietAt, removeObject })
})
