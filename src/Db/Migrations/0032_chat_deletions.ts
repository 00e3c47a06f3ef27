/** Messages no longer say who deleted them: their changes do, which are erased with that user. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const chatDeletions = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  yield* sql`alter table chat_messages drop column deleted_by`
})
