/** The rows of artifacts: which are to be made, which exist, and why the last attempt failed. */
import { Context, Duration, Effect, Layer, Schema } from "effect"
import type { SqlClient, Statement } from "effect/sql"
import { Db, type DbError, intervalOf } from "../Db.ts"
import { anyGeneration, Deletion } from "../Deletion.ts"
import { Reason } from "../Playback.ts"
import * as FairClaims from "../FairClaims.ts"

/** Audio files of a conversation that one request covers, the latest ones. */
export const maxFiles = 1_000

/** `ogg`: Opus in Ogg. */
export const Format = Schema.Literals(["wav", "ogg"])
export type Format = typeof Format.Type

/** A URL lives this long, so an artifact that expires earlier is not handed out, and one that is replaced stays as long. */
export const urlLifetime = Duration.hours(1)

interface Target {
  readonly uid: string
  readonly conversation: string
}

/** `file`: the id of an audio file. `key`, `fingerprint`: of the artifact that exists; no fingerprint if it expires soon. */
const Columns = Schema.Struct({
  conversation: Schema.String,
  file: Schema.String,
  format: Format,
  requested: Schema.Boolean,
  key: Schema.NullOr(Schema.String),
  fingerprint: Schema.NullOr(Schema.String)
})

export interface ClaimedArtifact extends FairClaims.Claimed, Schema.Schema.Type<typeof Columns> {}

const jobs: FairClaims.Jobs<typeof Columns.Type> = {
  name: "artifacts",
  turns: "artifact_turns",
  columns: (sql) => sql`
    conversation_id as conversation, file, format, requested, key,
    case when expires_at > now() + ${intervalOf(urlLifetime)}::interval then fingerprint end as fingerprint`,
  schema: Columns,
  ended: "expires_at",
  lapsed: { error: "the node that merged it has ended or was cut off", reason: "merge_failed" }
}

const Row = Schema.Struct({
  file: Schema.String,
  /** Of an artifact that exists for as long as a URL lives; none if there is none. */
  fingerprint: Schema.NullOr(Schema.String),
  key: Schema.NullOr(Schema.String),
  /** It is to be made, for the first time or again. */
  isWanted: Schema.Boolean,
  /** Why the last attempt failed. */
  reason: Schema.NullOr(Reason)
})
export type ArtifactRow = typeof Row.Type
const decodeArtifacts = Schema.decodeUnknownEffect(Schema.Array(Row))

export interface NewArtifact {
  readonly key: string
  readonly fingerprint: string
  readonly bytes: number
  readonly expiresIn: Duration.Duration
}

export class ArtifactRows extends Context.Service<
  ArtifactRows,
  Omit<FairClaims.FairClaims<typeof Columns.Type>, "fail"> & {
    /** Artifacts of the latest `maxFiles` audio files, made or not. */
    list(uid: string, conversation: string, format: Format): Effect.Effect<ReadonlyArray<ArtifactRow>, DbError>
    /** Wants these audio files merged, those in backoff at once. Returns how many it newly wants or hastens. */
    request(
      target: Target & { readonly files: ReadonlyArray<string>; readonly format: Format }
    ): Effect.Effect<number, DbError>
    /** Wants the latest audio files that end after a Unix second merged as WAV, if that reads no audio. */
    suggest(target: Target & { readonly from: number }): Effect.Effect<number, DbError>
    /** The artifact that exists is what is wanted. */
    keep(claimed: ClaimedArtifact): Effect.Effect<void, DbError>
    /** Idempotent. The replaced artifact is deleted when its URLs have expired. Fails without the lease. */
    publish(claimed: ClaimedArtifact, artifact: NewArtifact): Effect.Effect<void, DbError | FairClaims.LeaseEnded>
    /** Nothing is to be made, unless it was requested meanwhile. */
    forget(claimed: ClaimedArtifact): Effect.Effect<void, DbError>
    /** Due again after the backoff, or dead after the last attempt. */
    fail(claimed: ClaimedArtifact, reason: Reason, error: string): Effect.Effect<"failed" | "dead" | "lost", DbError>
    /** Dead at once: another attempt would fail for the same reason. */
    giveUp(claimed: ClaimedArtifact, reason: Reason): Effect.Effect<void, DbError>
  }
>()("spillway/Precache/ArtifactRows") {
  static readonly layer = Layer.effect(
    ArtifactRows,
    Effect.suspend(() => make)
  )
}

const make = Effect.gen(function* () {
  const db = yield* Db
  const deletion = yield* Deletion
  const turns = yield* FairClaims.make(jobs)

  const want = Effect.fnUntraced(function* (
    { conversation, uid }: Target,
    format: Format,
    requested: boolean,
    isWanted: (sql: SqlClient.SqlClient) => Statement.Fragment
  ) {
    return yield* db.transactionIdempotent("ArtifactRows.want", (sql) =>
      Effect.gen(function* () {
        const rows = yield* sql`
          INSERT INTO artifacts AS a (uid, conversation_id, file, format, requested, due_at)
          SELECT uid, conversation_id, id::text, ${format}, ${requested}, now() FROM (
            SELECT * FROM audio_files WHERE uid = ${uid} AND conversation_id = ${conversation} AND ${isWanted(sql)}
            ORDER BY start_at DESC, first_id DESC LIMIT ${maxFiles}
          ) AS f
          ORDER BY start_at
          ON CONFLICT (uid, conversation_id, file, format) DO UPDATE
          SET due_at = CASE WHEN a.token IS NULL THEN least(a.due_at, excluded.due_at) ELSE a.due_at END,
              requested = a.requested OR excluded.requested,
              attempts = CASE WHEN a.due_at IS NULL THEN 0 ELSE a.attempts END, dead_at = NULL,
              reason = CASE WHEN a.due_at IS NULL THEN NULL ELSE a.reason END
          WHERE a.due_at IS NULL
                OR (excluded.requested AND (NOT a.requested OR (a.token IS NULL AND a.due_at > excluded.due_at)))
          RETURNING 1`
        if (rows.length > 0) yield* FairClaims.takeTurn(sql, jobs, uid)
        return rows.length
      })
    )
  })

  const publish: ArtifactRows["Service"]["publish"] = (claimed, { bytes, expiresIn, fingerprint, key }) =>
    db.transactionIdempotent("ArtifactRows.publish", (sql) =>
      Effect.gen(function* () {
        const rows = yield* sql`
          UPDATE artifacts
          SET due_at = NULL, token = NULL, attempts = 0, last_error = NULL, dead_at = NULL, reason = NULL,
              requested = false, key = ${key}, fingerprint = ${fingerprint}, bytes = ${String(bytes)}::bigint,
              expires_at = now() + ${intervalOf(expiresIn)}::interval
          WHERE ${FairClaims.isOwned(sql, claimed)} OR (id = ${claimed.id}::bigint AND key = ${key})
          RETURNING 1`
        if (rows.length === 0) return yield* new FairClaims.LeaseEnded({ table: jobs.name, id: claimed.id })
        if (claimed.key === null) return
        const replaced = { key: claimed.key, generation: anyGeneration, uid: claimed.uid }
        yield* deletion.schedule([replaced], { after: urlLifetime })
      })
    )

  return ArtifactRows.of({
    ...turns,
    list: (uid, conversation, format) =>
      db.read("ArtifactRows.list", (sql) =>
        sql`
          SELECT a.file, a.key, a.due_at IS NOT NULL AS "isWanted", a.reason,
                 CASE WHEN a.expires_at > now() + ${intervalOf(urlLifetime)}::interval THEN a.fingerprint END AS fingerprint
          FROM artifacts a WHERE a.uid = ${uid} AND a.conversation_id = ${conversation} AND a.format = ${format}
          ORDER BY a.id DESC LIMIT ${maxFiles}`.pipe(
          Effect.flatMap(decodeArtifacts),
          Effect.catchTag("SchemaError", Effect.die)
        )
      ),
    request: ({ files, format, ...target }) => want(target, format, true, (sql) => sql`id = ANY(${files}::uuid[])`),
    suggest: ({ from, ...target }) => want(target, "wav", false, (sql) => sql`ends > ${String(from)}::float8`),
    keep: (claimed) =>
      db.writeIdempotent("ArtifactRows.keep", (sql) =>
        Effect.asVoid(sql`
          UPDATE artifacts SET due_at = NULL, token = NULL, attempts = 0, last_error = NULL, reason = NULL, requested = false
          WHERE ${FairClaims.isOwned(sql, claimed)}`)
      ),
    publish,
    forget: (claimed) =>
      db.transactionIdempotent("ArtifactRows.forget", (sql) =>
        Effect.andThen(
          sql`DELETE FROM artifacts WHERE ${FairClaims.isOwned(sql, claimed)} AND requested = ${claimed.requested}`,
          turns.release(claimed)
        )
      ),
    fail: Effect.fnUntraced(function* (claimed, reason, error) {
      yield* db.writeIdempotent(
        "ArtifactRows.fail",
        (sql) => sql`UPDATE artifacts SET reason = ${reason} WHERE ${FairClaims.isOwned(sql, claimed)}`
      )
      return yield* turns.fail(claimed, error)
    }),
    giveUp: (claimed, reason) =>
      db.writeIdempotent("ArtifactRows.giveUp", (sql) =>
        Effect.asVoid(sql`
          UPDATE artifacts SET due_at = NULL, token = NULL, dead_at = now(), reason = ${reason}
          WHERE ${FairClaims.isOwned(sql, claimed)}`)
      )
  })
})
