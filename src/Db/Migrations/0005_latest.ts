/** An index for listing conversations by start time, which for imported ones is not their insertion order. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const latest = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE INDEX conversations_latest ON conversations (uid, created_at, seq)`
})
