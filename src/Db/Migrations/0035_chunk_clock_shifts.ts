/** All clock shifts of a chunk whose clock was set repeatedly. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const chunkClockShifts = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  // The latest one last. Null if `clock_shift`, which is the longest, is the only one or 0.
  yield* sql`alter table chunks add column clock_shifts float8[]`
})
