/** Fingerprints of the master secrets in use, so that startup can warn about a missing one. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const secrets = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`
    CREATE TABLE secrets (
      fingerprint text PRIMARY KEY,
      used_at timestamptz NOT NULL DEFAULT now()
    )`
})
