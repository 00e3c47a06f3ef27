/** All clock shifts of a chunk whose clock was set repeatedly. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const chunkClockShifts = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  // Null if `clock_shift`, the longest, is the only one. The latest is the last one.
  yield* sql`alter table chunks add column clock_shifts float8[]`
})
