/** Whether a user's audio is stored, and how it is protected. Null: as the server's settings say. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const userConsent = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  yield* sql`
    ALTER TABLE user_settings ADD COLUMN store_audio boolean,
      ADD COLUMN protection text CHECK (protection IN ('standard', 'enhanced'))`
})
