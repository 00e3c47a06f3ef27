/** Remembers VODs that became ready while they were deleted. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const unannouncedVods = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  yield* sql`alter table vods add column is_unannounced boolean not null default false`
})
