/** Keys, conversations and chunks. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const recordings = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  yield* sql`
    CREATE TABLE keys (
      id text PRIMARY KEY,
      uid text NOT NULL,
      hash bytea NOT NULL UNIQUE,
      scopes text[] NOT NULL DEFAULT '{}',
      created_at timestamptz NOT NULL DEFAULT now(),
      expires_at timestamptz,
      revoked_at timestamptz
    )`

  // Both "this conversation" and "the latest of this user" are one walk of an index that begins with the user.
  yield* sql`
    CREATE TABLE conversations (
      uid text NOT NULL,
      id text NOT NULL,
      seq bigint GENERATED ALWAYS AS IDENTITY,
      created_at timestamptz NOT NULL DEFAULT now(),
      finished_at timestamptz,
      PRIMARY KEY (uid, id),
      UNIQUE (uid, seq)
    )`

  yield* sql`
    CREATE TABLE chunks (
      uid text NOT NULL,
      conversation_id text NOT NULL,
      start_at double precision NOT NULL,
      id uuid NOT NULL,
      samples bigint NOT NULL CHECK (samples >= 0),
      sample_rate integer NOT NULL CHECK (sample_rate > 0),
      codec text NOT NULL,
      object_key text,
      bytes bigint NOT NULL DEFAULT 0,
      crc32c bigint,
      lost boolean NOT NULL DEFAULT false,
      created_at timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (uid, conversation_id, start_at, id),
      FOREIGN KEY (uid, conversation_id) REFERENCES conversations (uid, id) ON DELETE CASCADE,
      CHECK (lost OR (object_key IS NOT NULL AND crc32c IS NOT NULL))
    )`
})
