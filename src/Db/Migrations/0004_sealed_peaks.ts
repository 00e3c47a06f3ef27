/** Peaks of encrypted audio are encrypted too, in place of the ones in the clear. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const sealedPeaks = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`ALTER TABLE chunks ADD COLUMN sealed_peaks bytea`
})
