/** Encrypted peaks, which replace the plain ones for encrypted audio. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const sealedPeaks = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`ALTER TABLE chunks ADD COLUMN sealed_peaks bytea`
})
