/** The clock shift of each chunk, seconds later than its sender's timestamps, and the number of shifted chunks per conversation. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const clockShifts = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`ALTER TABLE chunks ADD COLUMN clock_shift double precision NOT NULL DEFAULT 0`
  yield* sql`ALTER TABLE conversations ADD COLUMN clock_shifts bigint NOT NULL DEFAULT 0`

  // Chunks without a shift, nearly all, need no second update of the conversation.
  yield* sql`
    CREATE OR REPLACE FUNCTION count_chunks() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      UPDATE conversations v SET chunks = v.chunks + more.count, clock_shifts = v.clock_shifts + more.shifted
      FROM (
        SELECT uid, conversation_id, count(*), count(*) FILTER (WHERE clock_shift <> 0) AS shifted
        FROM added GROUP BY uid, conversation_id
      ) more
      WHERE v.uid = more.uid AND v.id = more.conversation_id;
      RETURN NULL;
    END $$`
  yield* sql`
    CREATE OR REPLACE FUNCTION discount_chunks() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      UPDATE conversations v SET chunks = v.chunks - less.count, clock_shifts = v.clock_shifts - less.shifted
      FROM (
        SELECT uid, conversation_id, count(*), count(*) FILTER (WHERE clock_shift <> 0) AS shifted
        FROM removed GROUP BY uid, conversation_id
      ) less
      WHERE v.uid = less.uid AND v.id = less.conversation_id;
      DELETE FROM timelines t USING (SELECT DISTINCT uid, conversation_id FROM removed) gone
      WHERE t.uid = gone.uid AND t.conversation_id = gone.conversation_id;
      RETURN NULL;
    END $$`
})
