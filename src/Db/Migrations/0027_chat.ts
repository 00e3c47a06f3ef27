/** The chat of streams: rooms, messages, changes, moderators and bans. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const chat = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  // Ids of messages and of changes count up in their room, and are given out under the lock of its row, so that one is never
  // committed after a higher one. Without foreign keys: what deleted streams leave behind is removed in batches.
  yield* sql`create table chat_rooms (stream_id bigint primary key, last_id bigint not null default 0)`

  // `stream_offset_ms`: since the start of the broadcast that was live. `nonce`: chosen by the author, for repeated requests.
  yield* sql`
    create table chat_messages (
      stream_id bigint not null,
      id bigint not null,
      uid text not null,
      text text not null,
      nonce text not null,
      broadcast_id bigint,
      stream_offset_ms bigint,
      created_at timestamptz not null,
      deleted_at timestamptz,
      deleted_by text,
      primary key (stream_id, id)
    )`
  // With the bare id, the planner may take the primary key, and walk through all that was deleted in a row.
  yield* sql`create index chat_messages_visible on chat_messages (stream_id, (id + 0) desc) where deleted_at is null`
  yield* sql`
    create index chat_messages_of_broadcast on chat_messages (stream_id, broadcast_id, stream_offset_ms, id)
    where deleted_at is null and broadcast_id is not null`
  yield* sql`create index chat_messages_of_user on chat_messages (uid, created_at)`

  // What moderation does, for those who follow the room. `uid` is who is banned, or the author of the deleted message.
  yield* sql`
    create table chat_changes (
      stream_id bigint not null,
      id bigint not null,
      kind text not null check (kind in ('delete', 'ban', 'unban')),
      message_id bigint,
      uid text not null,
      until timestamptz,
      reason text not null default '',
      changed_by text not null,
      changed_at timestamptz not null default now(),
      primary key (stream_id, id)
    )`
  yield* sql`create index chat_changes_of_user on chat_changes (uid)`
  yield* sql`create index chat_changes_by_user on chat_changes (changed_by)`

  yield* sql`
    create table chat_moderators (
      stream_id bigint not null,
      uid text not null,
      permissions text[] not null,
      added_at timestamptz not null default now(),
      primary key (stream_id, uid)
    )`
  yield* sql`create index chat_moderators_of_user on chat_moderators (uid)`

  // `until` null: for ever.
  yield* sql`
    create table chat_bans (
      stream_id bigint not null,
      uid text not null,
      until timestamptz,
      reason text not null,
      banned_by text not null,
      banned_at timestamptz not null default now(),
      primary key (stream_id, uid)
    )`
  yield* sql`create index chat_bans_of_user on chat_bans (uid)`
  yield* sql`create index chat_bans_by_user on chat_bans (banned_by)`
  yield* sql`create index chat_bans_until on chat_bans (until) where until is not null`
})
