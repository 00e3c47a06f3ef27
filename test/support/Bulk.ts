/** Fills tables with a million rows in seconds: without WAL, triggers and foreign keys, and with indexes that are made afterwards. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/** Those that a table has its constraints by are kept. */
const indexesOf = (table: string) =>
  SqlClient.SqlClient.use(
    (sql) => sql<{ readonly name: string; readonly definition: string }>`
      select indexrelid::regclass::text as name, pg_get_indexdef(indexrelid) as definition from pg_index
      where indrelid = ${table}::regclass and not exists (select from pg_constraint where conindid = indexrelid)`
  )

/** One transaction. A table that others refer to comes after them. */
export const load = Effect.fnUntraced(function* <E, R>(
  tables: ReadonlyArray<string>,
  work: Effect.Effect<unknown, E, R>
) {
  const sql = yield* SqlClient.SqlClient
  yield* sql.withTransaction(
    Effect.gen(function* () {
      yield* sql`
        select set_config('statement_timeout', '0', true), set_config('session_replication_role', 'replica', true),
               set_config('maintenance_work_mem', '512MB', true)`
      for (const table of tables) yield* sql`alter table ${sql(table)} set unlogged`
      const indexes = (yield* Effect.forEach(tables, indexesOf)).flat()
      for (const { name } of indexes) yield* sql`drop index ${sql.literal(name)}`
      yield* work
      for (const { definition } of indexes) yield* sql.unsafe(definition)
    })
  )
  for (const table of tables) yield* sql`vacuum (analyze) ${sql(table)}`
})
