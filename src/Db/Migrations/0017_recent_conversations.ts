/** The conversation that each app of a user fed last, for sockets that select none. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const recentConversations = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  yield* sql`
    CREATE TABLE recent_conversations (
      uid text NOT NULL,
      client_kind text NOT NULL,
      conversation_id text NOT NULL,
      fed_at timestamptz NOT NULL,
      PRIMARY KEY (uid, client_kind)
    )`
  yield* sql`CREATE INDEX recent_conversations_fed ON recent_conversations (fed_at)`
})
