/**
 * Listeners: endpoints that fetch their events. Their deliveries wait without turns until the listener acknowledges them. A
 * listener that no longer polls is removed with its deliveries.
 */
import { Clock, Context, Duration, Effect, Layer, Schema } from "effect"
import { Db, type DbError, intervalOf } from "../../Db.ts"
import { type DecryptionFailed, Protection } from "../../Encryption.ts"
import { liveSecrets, makeCredentials } from "../Endpoints/Endpoint.ts"
import { remove } from "../Endpoints/EndpointErasure.ts"
import { isOwnedBy, type Owner } from "../Endpoints/EndpointRows.ts"
import * as Ids from "../Ids.ts"
import * as Signature from "../Signature.ts"

/** Events of one response, up to 5 MiB. */
const maxFetched = 20

/** A listener that has not polled for this time is removed. */
const idleLimit = Duration.minutes(5)

export interface Fetched {
  readonly id: string
  readonly type: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

const Credentials = Schema.Struct({
  uid: Schema.NullOr(Schema.String),
  secrets: Schema.NullOr(Schema.String),
  sealed: Schema.NullOr(Schema.Uint8Array)
})
const decodeCredentials = Schema.decodeUnknownEffect(Schema.Array(Credentials))

const Waiting = Schema.Struct({
  event: Schema.String,
  type: Schema.String,
  owner: Schema.NullOr(Schema.String),
  body: Schema.NullOr(Schema.String),
  sealed: Schema.NullOr(Schema.Uint8Array)
})
const decodeWaiting = Schema.decodeUnknownEffect(Schema.Array(Waiting))

export class ListenerRows extends Context.Service<
  ListenerRows,
  {
    /** Ends the deliveries of `received` events, and keeps the listener for another 5 minutes. False if there is none. */
    acknowledge(owner: Owner, id: string, received: ReadonlyArray<string>): Effect.Effect<boolean, DbError>
    /** At most 20 waiting events, oldest first, signed now. Stale and erased ones are left out. */
    fetch(owner: Owner, id: string): Effect.Effect<ReadonlyArray<Fetched>, DbError | DecryptionFailed>
    /** False if there is none. */
    remove(owner: Owner, id: string): Effect.Effect<boolean, DbError>
    /** Removes listeners that no longer poll; returns how many. */
    readonly removeIdle: Effect.Effect<number, DbError>
  }
>()("spillway/Webhooks/Listeners/ListenerRows") {
  static readonly layer = Layer.effect(
    ListenerRows,
    Effect.suspend(() => make)
  )
}

const make = Effect.gen(function* () {
  const db = yield* Db
  const clock = yield* Clock.Clock
  const credentials = yield* makeCredentials
  const protection = yield* Protection

  const textOf = ({ body, owner, sealed }: typeof Waiting.Type) =>
    sealed === null || owner === null
      ? Effect.succeed(body ?? "")
      : Effect.map(protection.decrypt(owner, sealed), (bytes) => Buffer.from(bytes).toString())

  return ListenerRows.of({
    acknowledge: Effect.fn("ListenerRows.acknowledge")(function* (owner, id, received) {
      const rows = yield* db.writeIdempotent(
        "ListenerRows.acknowledge",
        (sql) => sql`
          with listener as (
            update webhook_endpoints set polled_at = now()
            where ${isOwnedBy(sql, owner, id)} and polled_at is not null returning id
          ), done as (
            update webhook_deliveries d
            set state = 'delivered', due_at = null, attempts_made = attempts_made + 1, ended_at = now()
            from listener where d.endpoint_id = listener.id and d.event_id = any(${received}::uuid[]) and d.due_at is not null
          )
          select from listener`
      )
      return rows.length > 0
    }),
    fetch: Effect.fn("ListenerRows.fetch")(function* (owner, id) {
      const { keys, waiting } = yield* db.read("ListenerRows.fetch", (sql) =>
        Effect.all({
          keys: Effect.flatMap(
            sql`
              select uid, secrets, sealed from webhook_endpoints
              where ${isOwnedBy(sql, owner, id)} and polled_at is not null`,
            decodeCredentials
          ),
          waiting: Effect.flatMap(
            sql`
              select d.event_id::text as event, d.type, v.uid as owner, v.body, v.sealed
              from webhook_deliveries d join events v on v.id = d.event_id
              where d.endpoint_id = ${id}::uuid and d.due_at <= now() and coalesce(v.expires_at > now(), true)
              order by d.due_at, d.event_id limit ${maxFetched}`,
            decodeWaiting
          )
        }).pipe(Effect.catchTag("SchemaError", Effect.die))
      )
      const [row] = keys
      if (row === undefined || waiting.length === 0) return []
      const held = yield* credentials.fromRow(row.uid ?? undefined, row)
      const now = clock.currentTimeMillisUnsafe()
      return yield* Effect.forEach(waiting, (each) =>
        Effect.map(textOf(each), (body): Fetched => {
          const message = { id: Ids.eventId(each.event), timestamp: Math.floor(now / 1_000), body: Buffer.from(body) }
          const headers = Signature.headersOf(message, liveSecrets(held, now))
          return { id: each.event, type: each.type, headers: { "content-type": "application/json", ...headers }, body }
        })
      )
    }),
    remove: Effect.fn("ListenerRows.remove")((owner, id) =>
      db
        .transactionIdempotent("ListenerRows.remove", (sql) =>
          remove(sql, sql`${isOwnedBy(sql, owner, id)} and polled_at is not null`)
        )
        .pipe(Effect.map((count) => count > 0))
    ),
    removeIdle: db.transactionIdempotent("ListenerRows.removeIdle", (sql) =>
      remove(sql, sql`deleted_at is null and polled_at < now() - ${intervalOf(idleLimit)}::interval`)
    )
  })
})
