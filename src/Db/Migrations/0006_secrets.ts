/** Which master secrets audio was encrypted with, by fingerprints that tell nothing of them, so that one that is dropped is missed. */
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
