/** The secret that signs URLs of audio, one for all nodes. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const urlSecret = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  yield* sql`
    CREATE TABLE url_secret (
      is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
      secret bytea NOT NULL CHECK (length(secret) >= 32)
    )`
})
