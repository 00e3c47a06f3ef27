/** Many VODs: half of one user, the others of fifty users. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import * as Bulk from "../../support/Bulk.ts"

/** Without the work of generated columns. */
export const fill = Effect.fnUntraced(function* (count: number) {
  const sql = yield* SqlClient.SqlClient
  yield* sql`alter table vod_jobs drop constraint vod_jobs_vod_id_fkey`
  yield* sql`alter table vods alter search drop expression, alter search set default ''`
  const rows = Effect.gen(function* () {
    yield* sql`
        insert into vods (uid, stream_id, broadcast_id, conversation_id, status, title, search, started_at, created_at,
                          deleted_at, purge_at)
        select uid, n / 1000, n, 'c' || n, status, 'Talk ' || n,
               array_to_tsvector(array['owner ' || uid, 'talk', (n % 20000)::text, case when n % 5000 = 8 then 'rare' else 'often' end]),
               at, at, case when is_deleted then now() end, case when is_deleted then now() + interval '30 days' end
        from (
          select n, case when n % 2 = 0 then 'big' else 'u' || n % 100 end as uid, n % 101 = 0 as is_deleted,
                 case when n % 50 = 0 then 'failed' when n % 97 = 0 then 'pending' else 'ready' end as status,
                 timestamptz 'epoch' + n * interval '1 minute' as at
          from generate_series(1, ${count}::int) as n
        ) as numbers`
    yield* sql`
        insert into vod_counts (uid, state, slot, count)
        select uid, state, 0, count(*) from vods group by uid, state
        union all select '', state, n, count(*) / 16 from vods, generate_series(0, 15) as n group by state, n
        union all select 'other' || n, 'ready', 0, 1 from generate_series(1, 5000) as n`
  })
  yield* Bulk.load(["vods", "vod_counts"], rows)
})

/** The planner takes the rows of the tables for `count` of each. */
export const pretend = Effect.fnUntraced(function* (tables: ReadonlyArray<string>, count: number) {
  const sql = yield* SqlClient.SqlClient
  yield* sql`update pg_class set reltuples = ${count}::int where relname = any(${tables}::name[])`
})
