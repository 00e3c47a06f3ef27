/** When the merges of VODs were requested: a VOD may have waited long for its audio before. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const vodRequests = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  yield* sql`alter table vod_jobs add column requested_at timestamptz`
})
