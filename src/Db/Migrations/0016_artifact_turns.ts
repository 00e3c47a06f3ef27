/** The turns of users whose audio files wait to be merged. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const artifactTurns = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  yield* sql`
    CREATE TABLE artifact_turns (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      uid text NOT NULL UNIQUE,
      due_at timestamptz,
      attempts integer NOT NULL DEFAULT 0,
      token uuid,
      last_error text,
      dead_at timestamptz
    )`
  yield* sql`CREATE INDEX artifact_turns_due ON artifact_turns (due_at, id) WHERE due_at IS NOT NULL`
  yield* sql`CREATE INDEX artifacts_due_of_user ON artifacts (uid, due_at, id) WHERE due_at IS NOT NULL`
  yield* sql`DROP INDEX artifacts_due`
  yield* sql`
    INSERT INTO artifact_turns (uid, due_at) SELECT uid, min(due_at) FROM artifacts WHERE due_at IS NOT NULL GROUP BY uid`
})
