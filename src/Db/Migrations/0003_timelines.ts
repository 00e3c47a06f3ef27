/** Stores the number of chunks and the first layout of each conversation. Triggers count, also for the previous release. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const timelines = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  yield* sql`ALTER TABLE conversations ADD COLUMN chunks bigint NOT NULL DEFAULT 0`

  yield* sql`
    CREATE TABLE timelines (
      uid text NOT NULL,
      conversation_id text NOT NULL,
      state text NOT NULL,
      PRIMARY KEY (uid, conversation_id),
      FOREIGN KEY (uid, conversation_id) REFERENCES conversations (uid, id) ON DELETE CASCADE
    )`

  yield* sql`
    CREATE FUNCTION count_chunks() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      UPDATE conversations v SET chunks = v.chunks + more.count
      FROM (SELECT uid, conversation_id, count(*) FROM added GROUP BY uid, conversation_id) more
      WHERE v.uid = more.uid AND v.id = more.conversation_id;
      RETURN NULL;
    END $$`
  yield* sql`
    CREATE TRIGGER chunks_added AFTER INSERT ON chunks
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_chunks()`

  // The stored layout contains the deleted chunks.
  yield* sql`
    CREATE FUNCTION discount_chunks() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      UPDATE conversations v SET chunks = v.chunks - less.count
      FROM (SELECT uid, conversation_id, count(*) FROM removed GROUP BY uid, conversation_id) less
      WHERE v.uid = less.uid AND v.id = less.conversation_id;
      DELETE FROM timelines t USING (SELECT DISTINCT uid, conversation_id FROM removed) gone
      WHERE t.uid = gone.uid AND t.conversation_id = gone.conversation_id;
      RETURN NULL;
    END $$`
  yield* sql`
    CREATE TRIGGER chunks_removed AFTER DELETE ON chunks
    REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION discount_chunks()`

  // Creating the triggers locks the table against inserts until the commit.
  yield* sql`
    UPDATE conversations v SET chunks = (
      SELECT count(*) FROM chunks c WHERE c.uid = v.uid AND c.conversation_id = v.id
    )`
})
