/** Finds the broadcasts of a conversation that have no VOD yet, and the streams of a user that are not deleted. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const streamIndexes = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  yield* sql`create index broadcasts_of_conversation on broadcasts (uid, conversation) where not has_vod`
  yield* sql`create index streams_listed on streams (uid, id) where deleted_at is null`
})
