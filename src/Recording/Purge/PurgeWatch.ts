/**
 * Ends what this node does for purged conversations: their captures, and what the journal has of them. The fence of the index
 * alone keeps them deleted; this makes it visible to devices within seconds, and frees the journal.
 */
import { Context, Effect, Layer, Schedule, Schema, Semaphore } from "effect"
import { type ObjectHead, Storage, type StorageRefused, type StorageUnavailable } from "../../Storage.ts"
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
    /** As `LiveConversation.learn`, before audio is compared with its chunks. `end`: see `Fence.end`. */
    learn(conversation: LiveConversation, end: number, now: number): Effect.Effect<void>
    /** A `knownAt` for all conversations: no purge ran then. Zero if the last check found one. */
    readonly quietAt: () => number
    /**
     * Removes the object of a chunk whose conversation was purged while the chunk was uploaded. The chunk is released
     * afterwards, so a kill in between repeats both. The object stays if a row has it: the same audio was sent again after the
     * purge. Fails while this node may store such audio; a later upload of the chunk repeats it.
     */
    removeObject(
      chunk: JournalChunk,
      object: Pick<ObjectHead, "key" | "generation">
    ): Effect.Effect<void, DbError | StorageUnavailable | StorageRefused | SentAgain>
  }
>()("spillway/Recording/Purge/PurgeWatch") {
  static readonly layer = Layer.effect(
    PurgeWatch,
    Effect.suspend(() => make)
  )
}

export class SentAgain extends Schema.TaggedError<SentAgain>()("SentAgain", { key: Schema.String }) {
  override get message() {
    return `the purged object ${this.key} is removed later: audio with the same start was sent again and may have the object`
  }
}

const decodeState = Schema.decodeUnknownEffect(
  Schema.Tuple([Schema.Struct({ now: Schema.Finite, isQuiet: Schema.Boolean })])
)
const decodeEnds = Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ n: Schema.Int, end: Schema.Number })))

const make = Effect.gen(function* () {
  const db = yield* Db
  const live = yield* LiveConversations
  const rows = yield* ChunkRows
  const storage = yield* Storage
  /** `now` of the last check, from the database. */
  let checkedAt = 0
  let quietAt = 0
  /** Conversations with `isPurged`, until captures have given up what is purged. */
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

  const ends = (conversations: ReadonlyArray<LiveConversation>) => {
    const wanted = conversations.map(({ id, uid }, n) => ({ n, uid, id }))
    return db.read("PurgeWatch.ends", (sql) =>
      sql`
        select w.n, ${Fence.end(sql, sql`w.uid`, sql`w.id`)} as end
        from json_to_recordset(${JSON.stringify(wanted)}::json) as w(n int, uid text, id text)`.pipe(
        Effect.flatMap(decodeEnds),
        Effect.catchTag("SchemaError", Effect.die)
      )
    )
  }

  const learn = (conversation: LiveConversation, end: number, now: number) =>
    live.learn(conversation, end, now).pipe(
      Effect.andThen(
        Effect.sync(() => {
          if (conversation.isPurged) purged.add(conversation)
          else purged.delete(conversation)
        })
      ),
      Effect.uninterruptible
    )

  const lock = yield* Semaphore.make(1)
  const check = Effect.gen(function* () {
    const [{ isQuiet, now }] = yield* state
    quietAt = isQuiet ? now : 0
    if (!isQuiet || purged.size > 0) {
      const all = [...live.all()]
      for (let at = 0; at < all.length; at += batch) {
        const some = all.slice(at, at + batch)
        const found = new Map((yield* ends(some)).map(({ end, n }) => [n, end]))
        for (const [n, conversation] of some.entries()) yield* learn(conversation, found.get(n) ?? 0, now)
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
  const removeObject = Effect.fnUntraced(function* (
    chunk: JournalChunk,
    { generation, key }: Pick<ObjectHead, "key" | "generation">
  ) {
    const { conversation, start, uid } = chunk
    const others = [...(live.get(uid, conversation)?.chunks ?? [])]
    if (others.some((other) => other !== chunk && other.start === start)) return yield* new SentAgain({ key })
    if (!(yield* rows.isReferenced(chunk, key))) yield* storage.remove(key, { generation })
  })

  return PurgeWatch.of({ check, learn, quietAt: () => quietAt, removeObject })
})
