/** Speaker samples as rows: requested, stored, or ended without one. Users take turns at them. */
import { createHash } from "node:crypto"
import { Context, Duration, Effect, Layer, Option, Schema } from "effect"
import { Db, type DbError, intervalOf } from "../Db.ts"
import { anyGeneration, Deletion } from "../Deletion.ts"
import * as FairClaims from "../FairClaims.ts"

/** Samples of a person that are stored or wait; one more is refused. */
export const maxSamplesOfPerson = 100

/** Waiting samples of a user; one more is refused. */
const maxWaiting = 1_000

export interface SampleRequest {
  readonly uid: string
  readonly person: string
  readonly conversation: string
  readonly segments: ReadonlyArray<string>
}

/** Why there is no sample. `not_allowed`: the user does not store audio. */
export const Outcome = Schema.Literals(["conversation_not_found", "segments_missing", "audio_missing", "not_allowed"])
export type Outcome = typeof Outcome.Type

const Columns = Schema.Struct({
  person: Schema.String,
  conversation: Schema.String,
  segments: Schema.Array(Schema.String),
  /** Seconds since the request. */
  age: Schema.Finite
})

export interface ClaimedSample extends FairClaims.Claimed, Schema.Schema.Type<typeof Columns> {}

export interface StoredSample {
  readonly key: string
  readonly isEncrypted: boolean
  /** Of the WAV file. */
  readonly bytes: number
  readonly seconds: number
}

const Row = Schema.Struct({
  id: Schema.String,
  person: Schema.String,
  conversation: Schema.String,
  requestedAt: Schema.Date,
  isWaiting: Schema.Boolean,
  isDead: Schema.Boolean,
  outcome: Schema.NullOr(Outcome),
  key: Schema.NullOr(Schema.String),
  isEncrypted: Schema.Boolean,
  bytes: Schema.NullOr(Schema.Int),
  seconds: Schema.NullOr(Schema.Finite)
})
export type SampleRow = typeof Row.Type
const decodeRows = Schema.decodeUnknownEffect(Schema.Array(Row))

const jobs: FairClaims.Jobs<typeof Columns.Type> = {
  name: "speaker_samples",
  turns: "speaker_sample_turns",
  columns: (sql) => sql`
    person_id as person, conversation_id as conversation, segments,
    extract(epoch from now() - requested_at)::float8 as age`,
  schema: Columns,
  ended: "ended_at",
  lapsed: { error: "the node that cut it has ended or was cut off" }
}

/** The tombstone of a sample's object is gone: the object is being deleted. */
export class SampleAbandoned extends Schema.TaggedError<SampleAbandoned>()("SampleAbandoned", { key: Schema.String }) {
  override get message() {
    return `the object ${this.key} was not recorded in time, and is deleted`
  }
}

export interface Query {
  readonly uid: string
  readonly person: string | undefined
  /** The last sample of the previous page. */
  readonly before: string | undefined
  readonly limit: number
}

export class SampleRows extends Context.Service<
  SampleRows,
  FairClaims.FairClaims<typeof Columns.Type> & {
    /** Due after `delay`. A repeated request is joined; one that ended without a sample is done again. */
    request(
      request: SampleRequest,
      delay: Duration.Duration
    ): Effect.Effect<"accepted" | "repeated" | "refused", DbError>
    /** Records the object, whose tombstone is removed in the same transaction. */
    complete(
      claimed: ClaimedSample,
      sample: StoredSample
    ): Effect.Effect<void, DbError | FairClaims.LeaseEnded | SampleAbandoned>
    /** Ends it without a sample. */
    end(claimed: ClaimedSample, outcome: Outcome): Effect.Effect<void, DbError>
    /** Newest first. */
    list(query: Query): Effect.Effect<ReadonlyArray<SampleRow>, DbError>
    find(uid: string, id: string): Effect.Effect<Option.Option<SampleRow>, DbError>
    /** Deletes the row, and its object soon. False if there is none. */
    remove(uid: string, id: string): Effect.Effect<boolean, DbError>
  }
>()("spillway/SpeakerSamples/SampleRows") {
  static readonly layer = Layer.effect(
    SampleRows,
    Effect.suspend(() => make)
  )
}

/** The same for the same segments in any order. */
const digestOf = (segments: ReadonlyArray<string>): string =>
  createHash("sha256")
    .update([...new Set(segments)].sort().join("\n"))
    .digest("hex")

const make = Effect.gen(function* () {
  const db = yield* Db
  const deletion = yield* Deletion
  const claims = yield* FairClaims.make(jobs)

  const select = (operation: string, { before, limit, person, uid }: Query, id?: string) =>
    db.read(operation, (sql) => {
      const conditions = [
        sql`uid = ${uid}`,
        ...(person === undefined ? [] : [sql`person_id = ${person}`]),
        ...(before === undefined ? [] : [sql`id < ${before}::bigint`]),
        ...(id === undefined ? [] : [sql`id = ${id}::bigint`])
      ]
      return sql`
        select id::text as id, person_id as person, conversation_id as conversation, requested_at as "requestedAt",
               due_at is not null as "isWaiting", dead_at is not null as "isDead", outcome, key,
               is_encrypted as "isEncrypted", bytes, seconds
        from speaker_samples where ${sql.and(conditions)} order by speaker_samples.id desc limit ${limit}`.pipe(
        Effect.flatMap(decodeRows),
        Effect.catchTag("SchemaError", Effect.die)
      )
    })

  const request: SampleRows["Service"]["request"] = ({ conversation, person, segments, uid }, delay) =>
    db.transactionIdempotent("SampleRows.request", (sql) =>
      Effect.gen(function* () {
        const full = yield* sql`
          (select 1 from speaker_samples where uid = ${uid} and due_at is not null offset ${maxWaiting - 1} limit 1)
          union all
          (select 1 from speaker_samples where uid = ${uid} and person_id = ${person} and (due_at is not null or key is not null)
           offset ${maxSamplesOfPerson - 1} limit 1)`
        const after = intervalOf(delay)
        const isNew = full.length === 0
        const due = yield* sql`
          insert into speaker_samples as s (uid, person_id, conversation_id, request, segments, due_at)
          select ${uid}, ${person}, ${conversation}, ${digestOf(segments)}, ${segments}::text[], now() + ${after}::interval
          where ${isNew}
          on conflict (uid, person_id, conversation_id, request) do update
          set requested_at = now(), due_at = excluded.due_at, attempts = 0, token = null, last_error = null, dead_at = null,
              ended_at = null, outcome = null
          where s.due_at is null and s.key is null
          returning 1`
        if (due.length === 0) return isNew ? "repeated" : "refused"
        yield* FairClaims.takeTurn(sql, jobs, uid, delay)
        return "accepted"
      })
    )

  return SampleRows.of({
    ...claims,
    request,
    complete: (claimed, { bytes, isEncrypted, key, seconds }) =>
      // An ambiguous commit is not repeated: the claim is then found to be over, or fails.
      db.transaction("SampleRows.complete", (sql) =>
        Effect.gen(function* () {
          const rows = yield* sql`
            update speaker_samples
            set due_at = null, token = null, attempts = 0, last_error = null, dead_at = null, key = ${key},
                is_encrypted = ${isEncrypted}, bytes = ${bytes}, seconds = ${String(seconds)}::float8
            where ${FairClaims.isOwned(sql, claimed)} returning 1`
          if (rows.length === 0) return yield* new FairClaims.LeaseEnded({ table: jobs.name, id: claimed.id })
          const kept = yield* deletion.cancel([{ key, generation: anyGeneration }])
          if (kept === 0) return yield* new SampleAbandoned({ key })
        })
      ),
    end: (claimed, outcome) =>
      db.writeIdempotent("SampleRows.end", (sql) =>
        Effect.asVoid(sql`
          update speaker_samples set due_at = null, token = null, last_error = null, ended_at = now(), outcome = ${outcome}
          where ${FairClaims.isOwned(sql, claimed)}`)
      ),
    list: (query) => select("SampleRows.list", query),
    find: (uid, id) =>
      Effect.map(select("SampleRows.find", { uid, person: undefined, before: undefined, limit: 1 }, id), ([row]) =>
        Option.fromUndefinedOr(row)
      ),
    remove: (uid, id) =>
      db.transactionIdempotent("SampleRows.remove", (sql) =>
        Effect.gen(function* () {
          const rows = yield* sql<{ readonly key: string | null }>`
            delete from speaker_samples where uid = ${uid} and id = ${id}::bigint returning key`
          const objects = rows.flatMap(({ key }) => (key === null ? [] : [{ key, uid, generation: anyGeneration }]))
          yield* deletion.schedule(objects, { after: Duration.zero })
          return rows.length > 0
        })
      )
  })
})
