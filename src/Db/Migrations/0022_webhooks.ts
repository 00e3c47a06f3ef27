/** Events, the endpoints of users that receive them, and their deliveries. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const webhooks = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  // Ids are UUIDs of version 7, so that they are in order of time. `uid`: erased with this user; null for events that are not.
  // The body is JSON; `sealed` is the same, encrypted for the user.
  yield* sql`
    create table events (
      id uuid primary key,
      type text not null,
      uid text,
      conversation_id text,
      size integer not null,
      expires_at timestamptz,
      body text,
      sealed bytea
    )`
  yield* sql`create index events_of_user on events (uid, conversation_id) where uid is not null`

  // `uid` null: of all users. `secrets` is JSON of the secrets and the headers; `sealed` is the same, encrypted.
  yield* sql`
    create table webhook_endpoints (
      id uuid primary key,
      uid text,
      url text not null,
      types text[] not null,
      description text not null,
      is_enabled boolean not null,
      disabled_at timestamptz,
      disabled_reason text,
      audio_seconds integer,
      rate integer,
      header_names text[] not null,
      secrets text,
      sealed bytea,
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      deleted_at timestamptz
    )`
  yield* sql`create index webhook_endpoints_of_user on webhook_endpoints (uid, id) where deleted_at is null`
  yield* sql`create index webhook_endpoints_deleted on webhook_endpoints (deleted_at) where deleted_at is not null`

  // Of enabled endpoints. `uid` is empty for events of all users, `type` is * for all types.
  yield* sql`
    create table webhook_subscriptions (
      uid text not null,
      type text not null,
      endpoint_id uuid not null references webhook_endpoints on delete cascade,
      primary key (uid, type, endpoint_id)
    )`
  yield* sql`create index webhook_subscriptions_of_endpoint on webhook_subscriptions (endpoint_id)`

  // The node with `token` delivers what is due at the endpoint until `due_at`. Without a token: due then, or nothing waits.
  yield* sql`
    create table webhook_turns (
      endpoint_id uuid primary key references webhook_endpoints on delete cascade,
      due_at timestamptz,
      token uuid,
      is_woken boolean not null default false,
      paused_until timestamptz,
      failures integer not null default 0,
      failing_since timestamptz
    )`
  yield* sql`create index webhook_turns_due on webhook_turns ((failures > 0), due_at) where due_at is not null`

  // Without foreign keys: what deleted endpoints and removed events leave behind is removed in batches.
  yield* sql`
    create table webhook_deliveries (
      event_id uuid not null,
      endpoint_id uuid not null,
      type text not null,
      state text not null default 'pending',
      due_at timestamptz,
      attempts integer not null default 0,
      attempts_made integer not null default 0,
      status integer,
      millis integer,
      error text,
      ended_at timestamptz,
      primary key (event_id, endpoint_id)
    )`
  yield* sql`create index webhook_deliveries_log on webhook_deliveries (endpoint_id, state, event_id)`
  yield* sql`
    create index webhook_deliveries_due on webhook_deliveries (endpoint_id, due_at, event_id) where due_at is not null`

  yield* sql`
    create table webhook_attempts (
      event_id uuid not null,
      endpoint_id uuid not null,
      number integer not null,
      at timestamptz not null,
      millis integer not null,
      request text not null,
      status integer,
      response_head text,
      response_body text,
      error text,
      primary key (event_id, endpoint_id, number)
    )`
})
