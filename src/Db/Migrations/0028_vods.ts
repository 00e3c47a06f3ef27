/** VODs with their counters, search, jobs and plays. */
import { Effect } from "effect"
import { SqlClient, type Statement } from "effect/sql"

export const vods = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  // `state` is what lists and counters go by. `purge_at`: when a deleted VOD is purged; once it is, it can't be restored.
  // `search`: the words of both texts, and the owner as a lexeme that no word is.
  yield* sql`
    create table vods (
      id bigint generated always as identity primary key,
      uid text not null,
      stream_id bigint not null,
      broadcast_id bigint not null,
      conversation_id text not null,
      status text not null default 'pending' check (status in ('pending', 'processing', 'ready', 'failed')),
      reason text,
      title text not null,
      description text not null default '',
      duration float8,
      format text not null default 'wav',
      started_at timestamptz not null,
      created_at timestamptz not null default now(),
      revision integer not null default 1,
      deleted_at timestamptz,
      purge_at timestamptz,
      is_purging boolean not null default false,
      state text not null generated always as (case when deleted_at is null then status else 'deleted' end) stored,
      search tsvector not null generated always as (
        setweight(to_tsvector('simple', title), 'A') || setweight(to_tsvector('simple', description), 'B')
          || array_to_tsvector(array['owner ' || uid])
      ) stored,
      unique (stream_id, broadcast_id)
    )`
  // A list has one index, which returns it in order. Conditions on `id`, which are always true, keep lists from the indexes of
  // others, in which they would be filtered: by a planner that takes a user or a state for frequent, through all rows.
  yield* sql`
    create index vods_of_user on vods (uid, created_at desc, id desc) where state <> 'deleted' and id <> 0`
  yield* sql`create index vods_of_user_in_state on vods (uid, state, created_at desc, id desc)`
  yield* sql`create index vods_of_all on vods (created_at desc, id desc) where state <> 'deleted' and id > 0`
  yield* sql`create index vods_of_all_in_state on vods (state, created_at desc, id desc) where id >= 0`
  yield* sql`
    create index vods_of_stream on vods (stream_id, created_at desc, id desc) where state = 'ready'`
  yield* sql`create index vods_of_conversation on vods (uid, conversation_id)`
  yield* sql`create index vods_deleted on vods (purge_at, id) where purge_at is not null`
  yield* sql`create index vods_search on vods using gin (search)`

  // The index decides, whatever the planner expects of a word, so that at most `most` rows are read.
  yield* sql`
    create function matching_vods(query tsquery, most integer) returns setof bigint language sql stable
    set enable_seqscan = off set enable_indexscan = off set enable_indexonlyscan = off
    as 'select id from vods where search @@ query limit most'`

  // Of a user in slot 0; of all users, whose uid is empty, in 16 slots, so that no row is hot.
  yield* sql`
    create table vod_counts (
      uid text not null,
      state text not null,
      slot smallint not null,
      count bigint not null,
      primary key (uid, state, slot)
    ) with (fillfactor = 50)`
  const count = (changed: Statement.Fragment) => sql`
    insert into vod_counts as c (uid, state, slot, count)
    select uid, state, slot, sum(n) from (
      select uid, state, 0 as slot, n from (${changed}) as of_users
      union all
      select '', state, pg_backend_pid() % 16, n from (${changed}) as of_all
    ) as changed
    group by uid, state, slot having sum(n) <> 0 order by uid = '', uid, state
    on conflict (uid, state, slot) do update set count = c.count + excluded.count`
  const added = sql`select uid, state, 1 as n from added`
  const removed = sql`select uid, state, -1 as n from removed`
  // Sorted, so that transactions of one statement wait for each other in one order.
  yield* sql`
    create function count_vods() returns trigger language plpgsql as $$
    begin
      if tg_op = 'INSERT' then
        ${count(added)};
      elsif tg_op = 'DELETE' then
        ${count(removed)};
      else
        ${count(sql`${added} union all ${removed}`)};
      end if;
      return null;
    end $$`
  yield* sql`
    create trigger vods_added after insert on vods
    referencing new table as added for each statement execute function count_vods()`
  yield* sql`
    create trigger vods_removed after delete on vods
    referencing old table as removed for each statement execute function count_vods()`
  yield* sql`
    create trigger vods_changed after update on vods
    referencing new table as added old table as removed for each statement execute function count_vods()`

  yield* sql`alter table broadcasts add column has_vod boolean not null default false`
  yield* sql`
    create index broadcasts_without_vod on broadcasts (ended_at, stream_id, id)
    where ended_at is not null and not has_vod`

  // `is_requested`: the merge of the audio files was requested.
  yield* sql`
    create table vod_jobs (
      id bigint generated always as identity primary key,
      vod_id bigint not null unique references vods on delete cascade,
      uid text not null,
      conversation_id text not null,
      is_requested boolean not null default false,
      begun_at timestamptz not null default now(),
      due_at timestamptz,
      attempts integer not null default 0,
      token uuid,
      last_error text,
      dead_at timestamptz
    )`
  yield* sql`create index vod_jobs_due_of_user on vod_jobs (uid, due_at, id) where due_at is not null`
  yield* sql`create index vod_jobs_due on vod_jobs (due_at) where due_at is not null`
  yield* sql`create index vod_jobs_of_conversation on vod_jobs (uid, conversation_id)`
  yield* sql`create index vod_jobs_dead on vod_jobs (dead_at, id) where dead_at is not null`
  yield* sql`create index vod_jobs_old on vod_jobs ((greatest(dead_at, dead_at)), id) where due_at is null`
  yield* sql`
    create table vod_turns (
      id bigint generated always as identity primary key,
      uid text not null unique,
      due_at timestamptz,
      attempts integer not null default 0,
      token uuid,
      last_error text,
      dead_at timestamptz
    )`
  yield* sql`create index vod_turns_due on vod_turns (due_at, id) where due_at is not null`

  // `listeners`: a HyperLogLog sketch. By the recording, so that a purge finds both as it finds all that a recording has.
  yield* sql`
    create table vod_days (
      uid text not null,
      conversation_id text not null,
      day date not null,
      views integer not null default 0,
      completed integer not null default 0,
      seconds float8 not null default 0,
      listeners bytea not null default decode(repeat('00', 1024), 'hex'),
      primary key (uid, conversation_id, day)
    )`
  yield* sql`create index vod_days_old on vod_days (day)`
  yield* sql`
    create table vod_plays (
      uid text not null,
      conversation_id text not null,
      session text not null,
      day date not null,
      seconds float8 not null,
      primary key (uid, conversation_id, session)
    )`
  yield* sql`create index vod_plays_old on vod_plays (day)`
})
