/** Segments of transcripts, by start and in the order in which they changed. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const transcripts = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  // A writer of segments locks this row first, so that a reader sees the revisions in order.
  yield* sql`
    CREATE TABLE transcripts (
      uid text NOT NULL,
      conversation_id text NOT NULL,
      revision bigint NOT NULL DEFAULT 0,
      segments integer NOT NULL DEFAULT 0,
      PRIMARY KEY (uid, conversation_id),
      FOREIGN KEY (uid, conversation_id) REFERENCES conversations (uid, id) ON DELETE CASCADE
    )`

  // `segment` is JSON as text, because jsonb rejects escapes that JSON allows. `sealed` is the same, encrypted.
  yield* sql`
    CREATE TABLE transcript_segments (
      uid text NOT NULL,
      conversation_id text NOT NULL,
      start_at float8 NOT NULL,
      id text COLLATE "C" NOT NULL,
      revision bigint NOT NULL,
      segment text,
      sealed bytea,
      PRIMARY KEY (uid, conversation_id, start_at, id),
      UNIQUE (uid, conversation_id, id)
    )`
  yield* sql`CREATE INDEX transcript_segments_changed ON transcript_segments (uid, conversation_id, revision)`
})
