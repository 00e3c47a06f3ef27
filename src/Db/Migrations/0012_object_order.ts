/** An index of chunks in the order in which stores list their objects, for the search for orphans. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const objectOrder = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE INDEX chunks_object ON chunks (object_key COLLATE "C") WHERE object_key IS NOT NULL`
})
