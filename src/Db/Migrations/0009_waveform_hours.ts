/** Overviews for long waveforms: lowest and highest sample of each minute, one hour per row. Filled on first request. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const waveformHours = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  // Hours since the Unix epoch. A row without pairs is stale and must be recomputed.
  yield* sql`
    CREATE TABLE waveform_hours (
      uid text NOT NULL,
      conversation_id text NOT NULL,
      hour bigint NOT NULL,
      pairs bytea,
      sealed_pairs bytea,
      PRIMARY KEY (uid, conversation_id, hour),
      FOREIGN KEY (uid, conversation_id) REFERENCES conversations (uid, id) ON DELETE CASCADE
    )`
  yield* sql`
    CREATE INDEX waveform_hours_stale ON waveform_hours (uid, conversation_id, hour)
    WHERE pairs IS NULL AND sealed_pairs IS NULL`
  // Every earlier hour with audio has a row.
  yield* sql`ALTER TABLE conversations ADD COLUMN drawn_until bigint`
})
