/** Merged audio files in the store, and conversations whose end is awaited. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const artifacts = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  // With `due_at`, the artifact is to be made. `key` to `expires_at` are of the last one that was, `reason` of the last failure.
  yield* sql`
    CREATE TABLE artifacts (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      uid text NOT NULL,
      conversation_id text NOT NULL,
      file text NOT NULL,
      format text NOT NULL,
      requested boolean NOT NULL,
      due_at timestamptz,
      attempts integer NOT NULL DEFAULT 0,
      token uuid,
      last_error text,
      dead_at timestamptz,
      reason text,
      key text,
      fingerprint text,
      bytes bigint,
      expires_at timestamptz,
      created_at timestamptz NOT NULL DEFAULT now(),
      UNIQUE (uid, conversation_id, file, format),
      FOREIGN KEY (uid, conversation_id) REFERENCES conversations (uid, id) ON DELETE CASCADE
    )`
  yield* sql`CREATE INDEX artifacts_due ON artifacts (due_at, id) WHERE due_at IS NOT NULL`
  yield* sql`
    CREATE INDEX artifacts_old ON artifacts ((greatest(expires_at, dead_at)), id) WHERE due_at IS NULL`

  yield* sql`CREATE INDEX artifacts_dead ON artifacts (dead_at, id) WHERE dead_at IS NOT NULL`

  // Audio from `from_start` on was stored since the last end; none since the last look if it `is_quiet`.
  yield* sql`
    CREATE TABLE conversation_ends (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      uid text NOT NULL,
      conversation_id text NOT NULL,
      from_start float8 NOT NULL,
      is_quiet boolean NOT NULL DEFAULT false,
      due_at timestamptz,
      attempts integer NOT NULL DEFAULT 0,
      token uuid,
      last_error text,
      dead_at timestamptz,
      UNIQUE (uid, conversation_id),
      FOREIGN KEY (uid, conversation_id) REFERENCES conversations (uid, id) ON DELETE CASCADE
    )`
  yield* sql`CREATE INDEX conversation_ends_due ON conversation_ends (due_at, id) WHERE due_at IS NOT NULL`
})
