/** The rows of artifacts: which are to be made, which exist, and why the last attempt failed. */
import { Context, Duration, Effect, Layer, Schema } from "effect"
import type { SqlClient, Statement } from "effect/sql"
import { Db, type DbError } from "../Db.ts"
import { anyGeneration, Deletion } from "../Deletion.ts"
import { Reason } from "../Playback.ts"
import * as ArtifactClaims from "./ArtifactClaims.ts"
import { type ClaimedArtifact, type Format, takeTurn, type Target, urlLifetime } from "./ArtifactClaims.ts"

/** Audio files of a conversation that one request covers, the latest ones. */
export const maxFiles = 1_000

/** How long rows stay after their artifact has expired or was given up. */
const rowsKept = Duration.days(3)

/** Rows that are removed at once. */
const pruned = 500

/** Rows are counted up to this number. */
const maxCounted = 10_000

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

const secondsOf = (duration: Duration.Duration) => `${Duration.toSeconds(duration)} seconds`

export interface NewArtifact {
  readonly key: string
  readonly fingerprint: string
  readonly bytes: number
  readonly expiresIn: Duration.Duration
}

/** The claim's token is not the row's: the lease has ended, or the conversation is being purged. */
export class LeaseEnded extends Schema.TaggedError<LeaseEnded>()("LeaseEnded", { id: Schema.String }) {
  override get message() {
    return `the lease of artifact ${this.id} has ended`
  }
}

export class ArtifactRows extends Context.Service<
  ArtifactRows,
  {
    /** Artifacts of the latest `maxFiles` audio files, made or not. */
    list(uid: string, conversation: string, format: Format): Effect.Effect<ReadonlyArray<ArtifactRow>, DbError>
    /** Wants these audio files merged, those in backoff at once. Returns how many it newly wants or hastens. */
    request(
      target: Target & { readonly files: ReadonlyArray<string>; readonly format: Format }
    ): Effect.Effect<number, DbError>
    /** Wants the latest audio files that end after a Unix second merged as WAV, if that reads no audio. */
    suggest(target: Target & { readonly from: number }): Effect.Effect<number, DbError>
    readonly claim: ArtifactClaims.ArtifactClaims["claim"]
    extend(claimed: ClaimedArtifact): Effect.Effect<void, DbError | LeaseEnded>
    /** The artifact that exists is what is wanted. */
    keep(claimed: ClaimedArtifact): Effect.Effect<void, DbError>
    /** Idempotent. The replaced artifact is deleted when its URLs have expired. Fails without the lease. */
    publish(claimed: ClaimedArtifact, artifact: NewArtifact): Effect.Effect<void, DbError | LeaseEnded>
    /** Due again, without a failure. */
    postpone(claimed: ClaimedArtifact, after: Duration.Duration): Effect.Effect<void, DbError>
    /** Due at once, without a failure. */
    release(claimed: ClaimedArtifact): Effect.Effect<void, DbError>
    /** Nothing is to be made, unless it was requested meanwhile. */
    forget(claimed: ClaimedArtifact): Effect.Effect<void, DbError>
    /** Due again after the backoff, or dead after the last attempt. */
    fail(claimed: ClaimedArtifact, reason: Reason, error: string): Effect.Effect<"failed" | "dead" | "lost", DbError>
    /** Dead at once: another attempt would fail for the same reason. */
    giveUp(claimed: ClaimedArtifact, reason: Reason): Effect.Effect<void, DbError>
    /** Removes a bounded number of old rows. */
    readonly prune: Effect.Effect<void, DbError>
    /** Artifacts to be made, and artifacts that were given up, each counted to 10,000. */
    readonly backlog: Effect.Effect<{ readonly waiting: number; readonly dead: number }, DbError>
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
  const claims = yield* ArtifactClaims.make

  const isOwned = (sql: SqlClient.SqlClient, { id, token }: ClaimedArtifact) =>
    sql`id = ${id}::bigint AND token = ${token}::uuid`

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
        if (rows.length > 0) yield* takeTurn(sql, uid)
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
              expires_at = now() + ${secondsOf(expiresIn)}::interval
          WHERE ${isOwned(sql, claimed)} OR (id = ${claimed.id}::bigint AND key = ${key})
          RETURNING 1`
        if (rows.length === 0) return yield* new LeaseEnded({ id: claimed.id })
        if (claimed.key === undefined) return
        const replaced = { key: claimed.key, generation: anyGeneration, uid: claimed.uid }
        yield* deletion.schedule([replaced], { after: urlLifetime })
      })
    )

  const release: ArtifactRows["Service"]["release"] = (claimed) =>
    db.transactionIdempotent("ArtifactRows.release", (sql) =>
      Effect.gen(function* () {
        const rows = yield* sql`
          UPDATE artifacts SET due_at = now(), token = NULL WHERE ${isOwned(sql, claimed)} RETURNING 1`
        if (rows.length > 0) yield* takeTurn(sql, claimed.uid)
      })
    )

  return ArtifactRows.of({
    list: (uid, conversation, format) =>
      db.read("ArtifactRows.list", (sql) =>
        sql`
          SELECT a.file, a.key, a.due_at IS NOT NULL AS "isWanted", a.reason,
                 CASE WHEN a.expires_at > now() + ${secondsOf(urlLifetime)}::interval THEN a.fingerprint END AS fingerprint
          FROM artifacts a WHERE a.uid = ${uid} AND a.conversation_id = ${conversation} AND a.format = ${format}
          ORDER BY a.id DESC LIMIT ${maxFiles}`.pipe(
          Effect.flatMap(decodeArtifacts),
          Effect.catchTag("SchemaError", Effect.die)
        )
      ),
    request: ({ files, format, ...target }) => want(target, format, true, (sql) => sql`id = ANY(${files}::uuid[])`),
    suggest: ({ from, ...target }) => want(target, "wav", false, (sql) => sql`ends > ${String(from)}::float8`),
    claim: claims.claim,
    extend: Effect.fnUntraced(function* ({ id, token }) {
      if ((yield* claims.extend(token, [id])).length === 0) return yield* new LeaseEnded({ id })
    }),
    keep: (claimed) =>
      db.writeIdempotent("ArtifactRows.keep", (sql) =>
        Effect.asVoid(sql`
          UPDATE artifacts SET due_at = NULL, token = NULL, attempts = 0, last_error = NULL, reason = NULL, requested = false
          WHERE ${isOwned(sql, claimed)}`)
      ),
    publish,
    postpone: (claimed, after) =>
      db.writeIdempotent("ArtifactRows.postpone", (sql) =>
        Effect.asVoid(sql`
          UPDATE artifacts SET due_at = now() + ${secondsOf(after)}::interval, token = NULL WHERE ${isOwned(sql, claimed)}`)
      ),
    release,
    forget: (claimed) =>
      db.transactionIdempotent("ArtifactRows.forget", (sql) =>
        Effect.andThen(
          sql`DELETE FROM artifacts WHERE ${isOwned(sql, claimed)} AND requested = ${claimed.requested}`,
          release(claimed)
        )
      ),
    fail: Effect.fnUntraced(function* (claimed, reason, error) {
      const { id, token } = claimed
      yield* db.writeIdempotent(
        "ArtifactRows.fail",
        (sql) => sql`UPDATE artifacts SET reason = ${reason} WHERE ${isOwned(sql, claimed)}`
      )
      const { dead, retried } = yield* claims.fail(token, [{ id, error }])
      if (dead + retried === 0) return "lost"
      return dead > 0 ? "dead" : "failed"
    }),
    giveUp: (claimed, reason) =>
      db.writeIdempotent("ArtifactRows.giveUp", (sql) =>
        Effect.asVoid(sql`
          UPDATE artifacts SET due_at = NULL, token = NULL, dead_at = now(), reason = ${reason}
          WHERE ${isOwned(sql, claimed)}`)
      ),
    prune: db.writeIdempotent("ArtifactRows.prune", (sql) =>
      Effect.asVoid(sql`
        DELETE FROM artifacts WHERE id IN (
          SELECT id FROM artifacts
          WHERE due_at IS NULL AND greatest(expires_at, dead_at) < now() - ${secondsOf(rowsKept)}::interval
          ORDER BY greatest(expires_at, dead_at), id LIMIT ${pruned}
        )`)
    ),
    backlog: db
      .read(
        "ArtifactRows.backlog",
        (sql) => sql<{ readonly waiting: number; readonly dead: number }>`
          SELECT
            (SELECT count(*)::int FROM (SELECT FROM artifacts WHERE due_at IS NOT NULL LIMIT ${maxCounted}) AS d) AS waiting,
            (SELECT count(*)::int FROM (SELECT FROM artifacts WHERE dead_at IS NOT NULL LIMIT ${maxCounted}) AS d) AS dead`
      )
      .pipe(Effect.map(([row]) => row ?? { waiting: 0, dead: 0 }))
  })
})
