/** Live streams, and their broadcasts. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const streams = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  // `key_hash`: SHA-256 of the stream key. A deleted stream keeps its row for its recordings, and gives up its slug.
  yield* sql`
    create table streams (
      id bigint generated always as identity primary key,
      uid text not null,
      slug text not null,
      title text not null,
      description text not null default '',
      visibility text not null default 'public' check (visibility in ('public', 'unlisted', 'private')),
      chat_enabled boolean not null default true,
      slow_mode_seconds integer not null default 0 check (slow_mode_seconds between 0 and 120),
      key_hash bytea unique,
      revision integer not null default 1,
      created_at timestamptz not null default now(),
      deleted_at timestamptz
    )`
  yield* sql`create unique index streams_slug on streams (slug) where deleted_at is null`
  yield* sql`create index streams_of_user on streams (uid, id)`

  // Ids count from 1 in each stream, and are given out under the lock of its row. `capture`: the capture that feeds the
  // broadcast; `seen_at`: when its node said so last; `left_at`: since when none feeds it.
  yield* sql`
    create table broadcasts (
      stream_id bigint not null references streams on delete cascade,
      id bigint not null,
      uid text not null,
      conversation text not null,
      capture uuid,
      seen_at timestamptz not null default now(),
      started_at timestamptz not null default now(),
      left_at timestamptz,
      ended_at timestamptz,
      primary key (stream_id, id)
    )`
  yield* sql`create unique index broadcasts_live on broadcasts (stream_id) where ended_at is null`
  yield* sql`create index broadcasts_seen on broadcasts (seen_at) where ended_at is null`
})
