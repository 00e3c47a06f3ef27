/** Many VODs: half of one user, the others of fifty users. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/** Without WAL, triggers and the work of generated columns; indexes are made after the rows. */
export const fill = Effect.fnUntraced(function* (count: number) {
  const sql = yield* SqlClient.SqlClient
  yield* sql`alter table vod_jobs drop constraint vod_jobs_vod_id_fkey`
  yield* sql`alter table vods set unlogged`
  yield* sql.withTransaction(
    Effect.gen(function* () {
      const indexes = yield* sql<{ readonly name: string; readonly definition: string }>`
        select indexrelid::regclass::text as name, pg_get_indexdef(indexrelid) as definition from pg_index
        where indrelid = 'vods'::regclass and not indisunique`
      yield* sql`select set_config('statement_timeout', '0', true), set_config('maintenance_work_mem', '256MB', true)`
      yield* sql`alter table vods disable trigger user`
      yield* sql`alter table vods alter search drop expression, alter search set default ''`
      for (const { name } of indexes) yield* sql`drop index ${sql.literal(name)}`
      yield* sql`
        insert into vods (uid, stream_id, broadcast_id, conversation_id, status, title, search, started_at, created_at,
                          deleted_at, purge_at)
        select uid, n % 1000, n, 'c' || n, status, 'Talk ' || n,
               array_to_tsvector(array['owner ' || uid, 'talk', n::text, case when n % 5000 = 8 then 'rare' else 'often' end]),
               at, at, case when is_deleted then now() end, case when is_deleted then now() + interval '30 days' end
        from (
          select n, case when n % 2 = 0 then 'big' else 'u' || n % 100 end as uid, n % 101 = 0 as is_deleted,
                 case when n % 50 = 0 then 'failed' when n % 97 = 0 then 'pending' else 'ready' end as status,
                 timestamptz 'epoch' + n * interval '1 minute' as at
          from generate_series(1, ${count}::int) as n
        ) as numbers`
      for (const { definition } of indexes) yield* sql.unsafe(definition)
      yield* sql`alter table vods enable trigger user`
      yield* sql`
        insert into vod_counts (uid, state, slot, count)
        select uid, state, 0, count(*) from vods group by uid, state
        union all select '', state, n, count(*) / 16 from vods, generate_series(0, 15) as n group by state, n
        union all select 'other' || n, 'ready', 0, 1 from generate_series(1, 5000) as n`
    })
  )
  yield* sql`vacuum (analyze) vods, vod_counts`
})

/** The planner takes the rows of the tables for `count` of each. */
export const pretend = Effect.fnUntraced(function* (tables: ReadonlyArray<string>, count: number) {
  const sql = yield* SqlClient.SqlClient
  yield* sql`update pg_class set reltuples = ${count}::int where relname = any(${tables}::name[])`
})
