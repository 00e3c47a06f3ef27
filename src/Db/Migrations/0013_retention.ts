/** Settings of users, and the day on which each conversation ended, for retention. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const retention = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  // Null: the server's default. 0: for ever.
  yield* sql`
    CREATE TABLE user_settings (
      uid text PRIMARY KEY,
      retention_days integer CHECK (retention_days >= 0)
    )`
  yield* sql`CREATE INDEX user_settings_retention ON user_settings (uid) WHERE retention_days > 0`

  // The day (UTC) on which the last audio was stored, by the database's clock; of imported audio, on which it ends. A day, so
  // that the updates of a conversation that is recorded don't touch the index.
  yield* sql`
    ALTER TABLE conversations ADD COLUMN ended_on date NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')::date`
  yield* sql`
    UPDATE conversations v SET ended_on = (least(now(), greatest(v.created_at, (
      SELECT to_timestamp(max(f.ends)) FROM audio_files f WHERE f.uid = v.uid AND f.conversation_id = v.id
    ))) AT TIME ZONE 'UTC')::date`
  yield* sql`CREATE INDEX conversations_ended ON conversations (uid, ended_on, id)`
})
