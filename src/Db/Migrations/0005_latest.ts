/** Conversations are listed by when they began: those that were imported, years ago perhaps. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const latest = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE INDEX conversations_latest ON conversations (uid, created_at, seq)`
})
