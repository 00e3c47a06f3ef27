/** Conversations that have audio: only these are listed, whatever number of captures sent nothing. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const listed = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  // Its value changes once, so that the updates of the sums don't touch the index.
  yield* sql`ALTER TABLE conversations ADD COLUMN has_audio boolean NOT NULL GENERATED ALWAYS AS (chunks > 0) STORED`
  yield* sql`CREATE INDEX conversations_listed ON conversations (uid, created_at, seq) WHERE has_audio`
  yield* sql`DROP INDEX conversations_latest`
})
