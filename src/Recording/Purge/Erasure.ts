/** Deletes the rows of recorded audio, for a purge. */
import { Context, Effect, Layer, Schema } from "effect"
import { Db, type DbError } from "../../Db.ts"
import { Events } from "../../Events.ts"
import * as ConversationEvents from "../ConversationEvents.ts"
import * as Fence from "./Fence.ts"

/** A conversation, or all that a user has. */
export interface Target {
  readonly uid: string
  readonly conversation: string | undefined
}

/** Conversations of a user are counted to this number, so that a summary costs the same for every user. */
export const maxSummed = 10_000

/** Rows of a table that one batch deletes: some tens of milliseconds. */
const batch = 1_000

const Summary = Schema.Struct({
  /** Counted to `maxSummed`, as are the others. */
  conversations: Schema.Int,
  chunks: Schema.Finite,
  capturedSeconds: Schema.Finite
})
export type Summary = typeof Summary.Type
const decodeSummary = Schema.decodeUnknownEffect(Schema.Tuple([Summary]))

/** Children first, so that no statement cascades to many rows. */
const tables = [
  { name: "events", column: "conversation_id" },
  { name: "vod_plays", column: "conversation_id" },
  { name: "vod_days", column: "conversation_id" },
  { name: "vod_jobs", column: "conversation_id" },
  { name: "vods", column: "conversation_id" },
  { name: "speaker_samples", column: "conversation_id" },
  { name: "finalizations", column: "conversation_id" },
  { name: "artifacts", column: "conversation_id" },
  { name: "recent_conversations", column: "conversation_id" },
  { name: "conversation_ends", column: "conversation_id" },
  { name: "transcript_segments", column: "conversation_id" },
  { name: "transcripts", column: "conversation_id" },
  { name: "audio_files", column: "conversation_id" },
  { name: "chunks", column: "conversation_id" },
  { name: "waveform_hours", column: "conversation_id" },
  { name: "conversations", column: "id" }
] as const

export interface Erased {
  readonly conversations: number
  readonly chunks: number
  /** No row is left. */
  readonly isDone: boolean
}

const Sample = Schema.Struct({ id: Schema.String, key: Schema.String, size: Schema.Int })
export type Sample = typeof Sample.Type
const decodeSamples = Schema.decodeUnknownEffect(Schema.Array(Sample))

export class Erasure extends Context.Service<
  Erasure,
  {
    summary(target: Target): Effect.Effect<Summary, DbError>
    /** Waits for transactions that began before the purge and create conversations, whose rows `eraseBatch` would not see. */
    awaitCreations(uid: string): Effect.Effect<void, DbError>
    /** Speaker samples of the conversation that have an object. */
    samples(target: Target, limit: number): Effect.Effect<ReadonlyArray<Sample>, DbError>
    /** Deletes the rows of speaker samples. Joins a transaction. */
    eraseSamples(samples: ReadonlyArray<Pick<Sample, "id">>): Effect.Effect<void, DbError>
    /** Deletes a bounded number of rows. Lists and playback have none of the audio after the first batch. Joins a transaction. */
    eraseBatch(target: Target): Effect.Effect<Erased, DbError>
  }
>()("spillway/Recording/Purge/Erasure") {
  static readonly layer = Layer.effect(
    Erasure,
    Effect.suspend(() => make)
  ).pipe(Layer.provide(Events.layer))
}

const make = Effect.gen(function* () {
  const db = yield* Db
  const events = yield* Events

  return Erasure.of({
    summary: Effect.fn("Erasure.summary")(function* ({ conversation, uid }) {
      const [summary] = yield* db.read("Erasure.summary", (sql) =>
        sql`
          select count(*)::int as conversations, coalesce(sum(chunks), 0)::float8 as chunks,
                 coalesce(sum(captured), 0)::float8 as "capturedSeconds"
          from (
            select chunks, captured from conversations
            where uid = ${uid} ${conversation === undefined ? sql`` : sql`and id = ${conversation}`}
            limit ${maxSummed}
          ) as v`.pipe(Effect.flatMap(decodeSummary), Effect.catchTag("SchemaError", Effect.die))
      )
      return summary
    }),
    awaitCreations: (uid) => db.write("Erasure.awaitCreations", (sql) => Fence.awaitCreations(sql, uid)),
    samples: ({ conversation, uid }, limit) =>
      db.read("Erasure.samples", (sql) =>
        sql`
          select id::text as id, key, coalesce(bytes, 0) as size from speaker_samples
          where uid = ${uid} and conversation_id = ${conversation ?? ""} and key is not null limit ${limit}`.pipe(
          Effect.flatMap(decodeSamples),
          Effect.catchTag("SchemaError", Effect.die)
        )
      ),
    eraseSamples: (samples) =>
      db.writeIdempotent("Erasure.eraseSamples", (sql) =>
        Effect.asVoid(sql`delete from speaker_samples where id = any(${samples.map(({ id }) => id)}::bigint[])`)
      ),
    eraseBatch: Effect.fn("Erasure.eraseBatch")(function* ({ conversation, uid }) {
      return yield* db.transaction(
        "Erasure.eraseBatch",
        Effect.fnUntraced(function* (sql) {
          const ofTarget = (column: string) =>
            conversation === undefined ? sql`uid = ${uid}` : sql`uid = ${uid} and ${sql(column)} = ${conversation}`
          yield* Fence.lockErasure(sql, uid)
          const hidden = yield* sql`
            update conversations set chunks = 0, files = 0, captured = 0, lost = 0, clock_shifts = 0, revision = revision + 1
            where ctid = any(array(select ctid from conversations where ${ofTarget("id")} and has_audio limit ${batch}))
            returning 1`
          let left = batch - hidden.length
          const deleted = {
            vod_plays: 0,
            vod_days: 0,
            vod_jobs: 0,
            vods: 0,
            speaker_samples: 0,
            events: 0,
            finalizations: 0,
            artifacts: 0,
            recent_conversations: 0,
            conversation_ends: 0,
            transcript_segments: 0,
            transcripts: 0,
            audio_files: 0,
            chunks: 0,
            waveform_hours: 0,
            conversations: 0
          }
          for (const { column, name } of tables) {
            if (left <= 0) return { ...deleted, isDone: false }
            // Those with an object are erased after it. Those of an account are found by the prefix of their keys.
            const isErased = name === "speaker_samples" && conversation !== undefined ? sql`key is null` : sql`true`
            const rows = yield* sql<{ readonly id: string }>`
              delete from ${sql(name)}
              where ctid = any(array(select ctid from ${sql(name)} where ${ofTarget(column)} and ${isErased} limit ${left}))
              returning ${name === "conversations" ? sql`id` : sql`1`}`
            if (name === "conversations")
              yield* events.append(
                sql,
                yield* Effect.forEach(rows, ({ id }) => ConversationEvents.deleted({ uid, conversation: id }))
              )
            deleted[name] = rows.length
            left -= rows.length
          }
          if (left > 0 && conversation === undefined)
            yield* sql`delete from vod_counts where uid = ${uid} and slot = 0 and count = 0`
          return { ...deleted, isDone: left > 0 }
        })
      )
    })
  })
})
