/** An index of the endpoints that receive live audio: nodes look for those of all their captures once a second. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const audioEndpoints = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`
    create index webhook_endpoints_audio on webhook_endpoints (uid, id)
    where audio_seconds is not null and deleted_at is null`
})
