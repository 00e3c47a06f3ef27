/** What waveforms are drawn from, beside each chunk. Null for what was stored before. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const peaks = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`ALTER TABLE chunks ADD COLUMN peaks bytea`
})
