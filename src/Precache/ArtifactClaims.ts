/**
 * Claims of artifacts to be made, under the leases of `Claims`. Users take turns: a turn is a row of a user with waiting
 * artifacts, and a claim takes the earliest due turn, one artifact of its user, and places the turn behind those of others.
 * It reads three rows, however many wait. A turn is due a lease after its user's next artifact at the latest.
 */
import { Duration, Effect, Option, Schema } from "effect"
import { SecureRandom } from "effect/crypto"
import type { SqlClient } from "effect/sql"
import * as Claims from "../Claims.ts"
import { Db, type DbError } from "../Db.ts"

/** `ogg`: Opus in Ogg. */
export const Format = Schema.Literals(["wav", "ogg"])
export type Format = typeof Format.Type

/** A URL lives this long, so an artifact that expires earlier is not handed out, and one that is replaced stays as long. */
export const urlLifetime = Duration.hours(1)

export interface Target {
  readonly uid: string
  readonly conversation: string
}

export interface ArtifactName extends Target {
  /** The id of an audio file. */
  readonly file: string
  readonly format: Format
}

export interface ClaimedArtifact extends ArtifactName {
  readonly id: string
  readonly token: string
  readonly requested: boolean
  readonly key: string | undefined
  /** Of the artifact that exists; none if it expires soon. */
  readonly fingerprint: string | undefined
}

/**
 * A claim whose lease lapsed without a result has failed: its node was killed, perhaps by the merge. `failed`: it has just been
 * found and is retried after its backoff, which is none after the first failure. `dead`: it is given up.
 */
export interface Turn {
  readonly artifact: ClaimedArtifact
  readonly outcome: "claimed" | "failed" | "dead"
}

export interface ArtifactClaims {
  /** The next turn; none if no turn is due. Undefined if its user has nothing due. */
  readonly claim: Effect.Effect<Option.Option<Turn | undefined>, DbError>
  readonly extend: Claims.Leases["extend"]
  readonly fail: Claims.Leases["fail"]
}

/** The user's turn is due now. Part of the transaction that makes an artifact due. */
export function takeTurn(sql: SqlClient.SqlClient, uid: string) {
  return sql`
    INSERT INTO artifact_turns AS t (uid, due_at) VALUES (${uid}, now())
    ON CONFLICT (uid) DO UPDATE SET due_at = least(t.due_at, excluded.due_at), token = NULL`
}

/** Between turns of a user whose due artifacts are locked. */
const lockedPause = Duration.seconds(1)

/** `last_error` of a claim whose lease has lapsed. */
export const lapsedError = "the node that merged it has ended or was cut off"

const turns: Claims.Table<{ readonly uid: string }> = {
  name: "artifact_turns",
  idType: "bigint",
  columns: ["uid"],
  schema: Schema.Struct({ uid: Schema.String })
}

const Row = Schema.Struct({
  id: Schema.String,
  conversation: Schema.String,
  file: Schema.String,
  format: Format,
  requested: Schema.Boolean,
  key: Schema.NullOr(Schema.String),
  fingerprint: Schema.NullOr(Schema.String),
  outcome: Schema.Literals(["claimed", "failed", "dead"])
})
const decodeRows = Schema.decodeUnknownEffect(Schema.Array(Row))

const secondsOf = (duration: Duration.Duration) => `${Duration.toSeconds(duration)} seconds`

export const make = Effect.gen(function* () {
  const db = yield* Db
  const claims = yield* Claims.make(turns)
  const { extend, fail } = Claims.leases(db, { name: "artifacts", idType: "bigint" })

  const take = Effect.fnUntraced(function* (uid: string, turn: { readonly id: string; readonly token: string }) {
    const token = SecureRandom.uuidV4Unsafe()
    const isOwn = (sql: SqlClient.SqlClient) => sql`id = ${turn.id}::bigint AND token = ${turn.token}::uuid`
    const [row] = yield* db.write("ArtifactClaims.take", (sql) =>
      sql`
        WITH first AS (
          SELECT id, token IS NOT NULL AS lapsed, attempts + (token IS NOT NULL)::int AS failures
          FROM artifacts WHERE uid = ${uid} AND due_at <= now() ORDER BY due_at, id LIMIT 1
          FOR UPDATE SKIP LOCKED
        ), judged AS (
          SELECT *, CASE WHEN failures >= ${Claims.maxAttempts} THEN 'dead'
                         WHEN lapsed AND failures > 1 THEN 'failed' ELSE 'claimed' END AS outcome
          FROM first
        ), taken AS (
          UPDATE artifacts AS a
          SET attempts = failures, token = CASE outcome WHEN 'claimed' THEN ${token}::uuid END,
              due_at = CASE outcome
                WHEN 'claimed' THEN now() + ${secondsOf(Claims.lease)}::interval
                WHEN 'failed' THEN now() + least(${Claims.longestBackoff}::interval, interval '1 second' * power(2, failures - 1))
              END,
              dead_at = CASE outcome WHEN 'dead' THEN now() END,
              reason = CASE WHEN lapsed THEN 'merge_failed' ELSE reason END,
              last_error = CASE WHEN lapsed THEN ${lapsedError} ELSE last_error END
          FROM judged WHERE a.id = judged.id
          RETURNING a.id, due_at, conversation_id, file, format, requested, key, outcome,
            CASE WHEN expires_at > now() + ${secondsOf(urlLifetime)}::interval THEN fingerprint END AS fingerprint
        ), others AS (
          SELECT due_at FROM artifacts
          WHERE uid = ${uid} AND due_at IS NOT NULL AND id IS DISTINCT FROM (SELECT id FROM taken)
          ORDER BY due_at, id LIMIT 1
        ), next AS (
          SELECT greatest(
            due_at, now() + CASE WHEN EXISTS (SELECT FROM taken) THEN '0' ELSE ${secondsOf(lockedPause)} END::interval
          ) AS due_at
          FROM (SELECT least((SELECT due_at FROM others), (SELECT due_at FROM taken)) AS due_at) AS waiting
          WHERE due_at IS NOT NULL
        ), placed AS (
          UPDATE artifact_turns SET due_at = next.due_at, token = NULL FROM next WHERE ${isOwn(sql)}
        ), ended AS (
          DELETE FROM artifact_turns WHERE ${isOwn(sql)} AND NOT EXISTS (SELECT FROM next)
        )
        SELECT id::text AS id, conversation_id AS conversation, file, format, requested, key, fingerprint, outcome FROM taken`.pipe(
        Effect.flatMap(decodeRows),
        Effect.catchTag("SchemaError", Effect.die)
      )
    )
    if (row === undefined) return undefined
    const { fingerprint, key, outcome, ...rest } = row
    const artifact = { ...rest, uid, token, key: key ?? undefined, fingerprint: fingerprint ?? undefined }
    return { artifact, outcome } satisfies Turn
  })

  const claim = Effect.gen(function* () {
    const { rows, token } = yield* claims.claim(1)
    const [turn] = rows
    if (turn === undefined) return Option.none()
    return Option.some(yield* take(turn.columns.uid, { id: turn.id, token }))
  })

  return { claim, extend, fail } satisfies ArtifactClaims
})
