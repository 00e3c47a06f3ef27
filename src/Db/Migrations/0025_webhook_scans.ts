/** Where the search for due deliveries of an endpoint begins. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const webhookScans = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  // No delivery that waits is due before, but for late commits. Null: unknown.
  yield* sql`alter table webhook_turns add column scan_from timestamptz`
})
