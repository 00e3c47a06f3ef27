/** A purge, as its row records it. */
import { Effect, Schema } from "effect"
import type { SqlClient, Statement } from "effect/sql"
import type { Target } from "../Recording.ts"

/**
 * `scheduled`: waits for its time, and can be cancelled. `running`: nothing is recorded, and all is being deleted. `pending`: an
 * attempt has failed, and is retried with backoff. `dead`: 20 attempts have failed.
 */
export type State = "scheduled" | "running" | "pending" | "dead" | "done" | "cancelled"

export interface Counts {
  readonly conversations: number
  readonly chunks: number
  readonly objects: number
  readonly bytes: number
  readonly tombstones: number
  readonly keys: number
}

export const noCounts: Counts = { conversations: 0, chunks: 0, objects: 0, bytes: 0, tombstones: 0, keys: 0 }

export interface Purge extends Target {
  readonly id: string
  readonly state: State
  readonly requestedAt: Date
  /** When it starts, resumes or is retried, or its lease ends. None if it is dead or over. */
  readonly dueAt: Date | undefined
  readonly startedAt: Date | undefined
  readonly finishedAt: Date | undefined
  readonly attempts: number
  readonly lastError: string | undefined
  /** Chunks that the conversations had at the start. */
  readonly expected: number
  /** What was deleted so far. A kill can leave the last page of objects out. */
  readonly counts: Counts
  /** Objects that the last attempt could not remove; none before it. */
  readonly leftObjects: number | undefined
}

const Row = Schema.Struct({
  id: Schema.String,
  uid: Schema.String,
  conversation_id: Schema.NullOr(Schema.String),
  requested_at: Schema.Date,
  due_at: Schema.NullOr(Schema.Date),
  started_at: Schema.NullOr(Schema.Date),
  finished_at: Schema.NullOr(Schema.Date),
  dead_at: Schema.NullOr(Schema.Date),
  attempts: Schema.Int,
  last_error: Schema.NullOr(Schema.String),
  expected: Schema.Finite,
  conversations: Schema.Finite,
  chunks: Schema.Finite,
  objects: Schema.Finite,
  bytes: Schema.Finite,
  tombstones: Schema.Finite,
  keys: Schema.Finite,
  left_objects: Schema.NullOr(Schema.Finite)
})
const decodeRows = Schema.decodeUnknownEffect(Schema.Array(Row))

export function columns(sql: SqlClient.SqlClient): Statement.Fragment {
  return sql`
    id::text as id, uid, conversation_id, requested_at, due_at, started_at, finished_at, dead_at, attempts, last_error,
    expected::float8 as expected, conversations::float8 as conversations, chunks::float8 as chunks,
    objects::float8 as objects, bytes::float8 as bytes, tombstones::float8 as tombstones, keys::float8 as keys,
    left_objects::float8 as left_objects`
}

const stateOf = ({ attempts, dead_at, finished_at, started_at }: typeof Row.Type): State => {
  if (finished_at !== null) return started_at === null ? "cancelled" : "done"
  if (dead_at !== null) return "dead"
  if (started_at === null) return "scheduled"
  return attempts > 0 ? "pending" : "running"
}

const purgeOf = (row: typeof Row.Type): Purge => {
  const { bytes, chunks, conversations, keys, objects, tombstones } = row
  return {
    id: row.id,
    uid: row.uid,
    conversation: row.conversation_id ?? undefined,
    state: stateOf(row),
    requestedAt: row.requested_at,
    dueAt: row.due_at ?? undefined,
    startedAt: row.started_at ?? undefined,
    finishedAt: row.finished_at ?? undefined,
    attempts: row.attempts,
    lastError: row.last_error ?? undefined,
    expected: row.expected,
    counts: { conversations, chunks, objects, bytes, tombstones, keys },
    leftObjects: row.left_objects ?? undefined
  }
}

/** Purges of rows with `columns`. */
export function decode(rows: unknown): Effect.Effect<ReadonlyArray<Purge>> {
  return decodeRows(rows).pipe(
    Effect.map((rows) => rows.map(purgeOf)),
    Effect.catchTag("SchemaError", Effect.die)
  )
}
