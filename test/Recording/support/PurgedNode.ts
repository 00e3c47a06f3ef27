/** Purges as a node finds them in the database, without the objects and rows that they delete. */
import { Deferred, Effect } from "effect"
import { SqlClient } from "effect/sql"
import { PurgeWatch } from "../../../src/Recording/Purge/PurgeWatch.ts"

export const purge = (conversation: string, isFinished: boolean) =>
  SqlClient.SqlClient.use(
    (sql) => sql`
      insert into purges (id, uid, conversation_id, started_at, finished_at)
      values (gen_random_uuid(), 'u', ${conversation}, clock_timestamp(), ${isFinished ? sql`clock_timestamp()` : null})`
  )

export const turn = Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))

export const check = Effect.flatMap(PurgeWatch, (watch) => watch.check)

/** Returns when the database's clock is past the end of all purges by more than its rounding. */
export const past = SqlClient.SqlClient.use((sql) =>
  sql<{ readonly isPast: boolean }>`
    select now() > max(finished_at) + interval '1 millisecond' as "isPast" from purges`.pipe(
    Effect.repeat({ until: ([row]) => row?.isPast === true })
  )
)

/** Puts wait for `gate`; `begun` when the first one does. */
export const held = Effect.gen(function* () {
  const [begun, gate] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
  const put = <A, E>(put: Effect.Effect<A, E>) =>
    Deferred.succeed(begun, undefined).pipe(Effect.andThen(Deferred.await(gate)), Effect.andThen(put))
  return { begun, gate, put }
})

/** Ends all purges. */
export const finish = SqlClient.SqlClient.use((sql) => sql`update purges set finished_at = clock_timestamp()`)

/** The node has read the purges, and its first check by itself has ended. */
export const started = Effect.andThen(check, check)
