/** Listeners: endpoints without a URL, which fetch their events. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const webhookListeners = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  // When a listener has last asked for events; null for endpoints with a URL. A listener has no row in webhook_turns.
  yield* sql`alter table webhook_endpoints add column polled_at timestamptz`
  yield* sql`
    create index webhook_endpoints_polled on webhook_endpoints (polled_at)
    where polled_at is not null and deleted_at is null`
})
