/** Peaks of each chunk, for waveforms. Null for older chunks. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const peaks = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`ALTER TABLE chunks ADD COLUMN peaks bytea`
})
