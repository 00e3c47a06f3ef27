/** Removes the streams of a user. */
import { Context, Effect, Layer } from "effect"
import type { SqlClient } from "effect/sql"
import { Db, type DbError, notify } from "../Db.ts"
import { topic } from "./StreamRows.ts"

/** Broadcasts of one batch. */
const batchSize = 1_000

export class Erasure extends Context.Service<
  Erasure,
  {
    /** Deleted streams count, too: their broadcasts are kept. */
    has(uid: string): Effect.Effect<boolean, DbError>
    /**
     * Removes a bounded number of rows of one stream, without events, and returns how many; 0 when none is left. Captures that feed
     * the stream end.
     */
    eraseOf(uid: string): Effect.Effect<number, DbError>
  }
>()("spillway/Streams/Erasure") {
  static readonly layer = Layer.effect(
    Erasure,
    Effect.gen(function* () {
      const db = yield* Db
      return Erasure.of({
        has: Effect.fn("Erasure.has")((uid) =>
          Effect.map(
            db.read("Streams.Erasure.has", (sql) => sql`select from streams where uid = ${uid} order by id limit 1`),
            (rows) => rows.length > 0
          )
        ),
        eraseOf: Effect.fn("Erasure.eraseOf")((uid) =>
          db.transactionIdempotent(
            "Streams.Erasure.eraseOf",
            Effect.fnUntraced(function* (sql) {
              const [stream] = yield* sql<{ readonly id: string }>`
                select id::text as id from streams where uid = ${uid} order by id limit 1 for update`
              return stream === undefined ? 0 : yield* erase(sql, stream.id)
            })
          )
        )
      })
    })
  )
}

/** The row of the stream is locked. Nothing enters a stream without a key, so its broadcasts come to an end. */
const erase = Effect.fnUntraced(function* (sql: SqlClient.SqlClient, stream: string) {
  yield* sql`update streams set key_hash = null where id = ${stream}::bigint and key_hash is not null`
  const broadcasts = yield* sql`
    delete from broadcasts
    where stream_id = ${stream}::bigint and id = any(array(
      select id from broadcasts where stream_id = ${stream}::bigint order by id limit ${batchSize}
    ))
    returning 1 as one`
  if (broadcasts.length < batchSize) yield* sql`delete from streams where id = ${stream}::bigint`
  yield* notify(sql, topic, stream)
  return broadcasts.length + 1
})
