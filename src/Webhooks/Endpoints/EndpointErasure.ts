/** Removes endpoints, and then what they leave behind, in batches. */
import { Context, Effect, Layer } from "effect"
import type { SqlClient, Statement } from "effect/sql"
import { Db, type DbError } from "../../Db.ts"

/** Rows of deliveries that one batch erases. */
const erased = 1_000

export class EndpointErasure extends Context.Service<
  EndpointErasure,
  {
    has(uid: string): Effect.Effect<boolean, DbError>
    /** Removes the endpoints of a user: they receive nothing from now on. */
    removeOf(uid: string): Effect.Effect<number, DbError>
    /** Erases a bounded number of rows of removed endpoints, of one user or of all; 0 when none is left. */
    erase(uid: string | undefined): Effect.Effect<number, DbError>
  }
>()("spillway/Webhooks/Endpoints/EndpointErasure") {
  static readonly layer = Layer.effect(
    EndpointErasure,
    Effect.gen(function* () {
      const db = yield* Db
      return EndpointErasure.of({
        has: Effect.fn("EndpointErasure.has")((uid) =>
          Effect.map(
            db.read(
              "EndpointErasure.has",
              (sql) => sql`select from webhook_endpoints where uid = ${uid} and deleted_at is null limit 1`
            ),
            (rows) => rows.length > 0
          )
        ),
        removeOf: Effect.fn("EndpointErasure.removeOf")((uid) =>
          db.transactionIdempotent("EndpointErasure.removeOf", (sql) =>
            remove(sql, sql`uid = ${uid} and deleted_at is null`)
          )
        ),
        erase: Effect.fn("EndpointErasure.erase")((uid) =>
          db.transactionIdempotent("EndpointErasure.erase", (sql) => erase(sql, uid))
        )
      })
    })
  )
}

type Sql = SqlClient.SqlClient

/** Removes the endpoints that fulfil a condition. Part of a transaction. */
export const remove = Effect.fnUntraced(function* (sql: Sql, where: Statement.Fragment) {
  const rows = yield* sql<{ readonly id: string }>`
    update webhook_endpoints set deleted_at = now(), secrets = null, sealed = null where ${where} returning id::text as id`
  const ids = rows.map(({ id }) => id)
  if (ids.length > 0) {
    yield* sql`delete from webhook_subscriptions where endpoint_id = any(${ids}::uuid[])`
    yield* sql`delete from webhook_turns where endpoint_id = any(${ids}::uuid[])`
  }
  return ids.length
})

const erase = Effect.fnUntraced(function* (sql: Sql, uid: string | undefined) {
  const [removed] = yield* sql<{ readonly id: string }>`
    select id::text as id from webhook_endpoints
    where deleted_at is not null and ${uid === undefined ? sql`true` : sql`uid = ${uid}`}
    order by deleted_at limit 1 for update ${uid === undefined ? sql`skip locked` : sql``}`
  if (removed === undefined) return 0
  const rows = yield* sql`
    with gone as (
      delete from webhook_deliveries
      where ctid = any(array(select ctid from webhook_deliveries where endpoint_id = ${removed.id}::uuid limit ${erased}))
      returning event_id
    ), attempts as (
      delete from webhook_attempts
      where endpoint_id = ${removed.id}::uuid and event_id in (select event_id from gone)
    )
    select from gone`
  if (rows.length < erased) yield* sql`delete from webhook_endpoints where id = ${removed.id}::uuid`
  return rows.length + 1
})
