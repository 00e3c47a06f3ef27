/** Rows of endpoints, with their subscriptions, which exist while the endpoint receives events. */
import { Clock, Context, Duration, Effect, Layer, Option, Schema } from "effect"
import type { Redacted } from "effect"
import { SecureRandom } from "effect/crypto"
import type { SqlClient, Statement } from "effect/sql"
import { Db, type DbError } from "../../Db.ts"
import { DecryptionFailed } from "../../Encryption.ts"
import * as Signature from "../Signature.ts"
import { remove } from "./EndpointErasure.ts"
import { DisabledReason, type Endpoint, makeCredentials } from "./Endpoint.ts"

/** Endpoints of a user, and those of all users. One more is rejected. */
export const maxEndpointsOfUser = 10

/** Endpoints in all. One more is rejected. */
const maxEndpoints = 10_000

export class TooManyEndpoints extends Schema.TaggedError<TooManyEndpoints>()("TooManyEndpoints", {
  bound: Schema.Literals(["user", "server"])
}) {
  override get message() {
    return this.bound === "user"
      ? `There are ${maxEndpointsOfUser} endpoints. Delete one, or change its types.`
      : `The server has ${maxEndpoints} endpoints.`
  }
}

/** The manager of endpoints: a user of its own ones, an admin also of those of all users. */
export interface Owner {
  readonly uid: string
  readonly isAdmin: boolean
}

export type Fields = Pick<Endpoint, "url" | "types" | "description" | "isEnabled" | "audioSeconds" | "rate"> & {
  readonly headers: Readonly<Record<string, string>>
}

export interface NewEndpoint {
  readonly endpoint: Endpoint
  readonly secret: Redacted.Redacted
}

const Row = Schema.Struct({
  id: Schema.String,
  uid: Schema.NullOr(Schema.String),
  url: Schema.String,
  types: Schema.Array(Schema.String),
  description: Schema.String,
  isEnabled: Schema.Boolean,
  disabledAt: Schema.NullOr(Schema.Date),
  disabledReason: Schema.NullOr(DisabledReason),
  audioSeconds: Schema.NullOr(Schema.Int),
  rate: Schema.NullOr(Schema.Int),
  headers: Schema.Array(Schema.String),
  createdAt: Schema.Date
})
const decodeRows = Schema.decodeUnknownEffect(Schema.Array(Row))
const decodeCredentials = Schema.decodeUnknownEffect(
  Schema.Array(
    Schema.Struct({
      uid: Schema.NullOr(Schema.String),
      secrets: Schema.NullOr(Schema.String),
      sealed: Schema.NullOr(Schema.Uint8Array)
    })
  )
)

const endpointOf = ({ audioSeconds, disabledAt, disabledReason, rate, uid, ...row }: typeof Row.Type): Endpoint => ({
  ...row,
  uid: uid ?? undefined,
  audioSeconds: audioSeconds ?? undefined,
  rate: rate ?? undefined,
  disabled: disabledAt === null || disabledReason === null ? undefined : { at: disabledAt, reason: disabledReason }
})

const Worst = Schema.Struct({
  ...Row.fields,
  failures: Schema.Int,
  failingSince: Schema.NullOr(Schema.Date),
  /** Since when its turn is due. */
  overdueSeconds: Schema.Finite
})
const decodeWorst = Schema.decodeUnknownEffect(Schema.Array(Worst))

const worstListed = 50

export interface WorstEndpoint {
  readonly endpoint: Endpoint
  /** In a row. */
  readonly failures: number
  readonly failingSince: Date | undefined
  readonly overdueSeconds: number
}

/** `off`: disabled by its owner. */
export interface EndpointCounts {
  readonly healthy: number
  readonly failing: number
  readonly disabled: number
  readonly off: number
}

export class EndpointRows extends Context.Service<
  EndpointRows,
  {
    /** Without `uid` it receives the events of all users. A listener has no URL, and only `ListenerRows` finds it. */
    create(
      uid: string | undefined,
      fields: Fields,
      scheme: Signature.Scheme,
      kind?: "endpoint" | "listener"
    ): Effect.Effect<NewEndpoint, DbError | TooManyEndpoints>
    /** All of them, oldest first. */
    list(uid: string | undefined): Effect.Effect<ReadonlyArray<Endpoint>, DbError>
    find(owner: Owner, id: string): Effect.Effect<Option.Option<Endpoint>, DbError>
    /** What `changes` leaves out is kept. Enabling a disabled endpoint resumes its deliveries. */
    update(
      owner: Owner,
      id: string,
      changes: Partial<Fields>
    ): Effect.Effect<Option.Option<Endpoint>, DbError | DecryptionFailed>
    /** A new secret. The one before it signs, too, for `overlap`; an older one ends. */
    rotate(
      owner: Owner,
      id: string,
      overlap: Duration.Duration
    ): Effect.Effect<Option.Option<Redacted.Redacted>, DbError | DecryptionFailed>
    /** Receives nothing from now on. False if there is none. `EndpointErasure` erases its deliveries. */
    remove(owner: Owner, id: string): Effect.Effect<boolean, DbError>
    /** Those with the most failures in a row, and disabled ones, at most 50. For operators. */
    readonly worst: Effect.Effect<ReadonlyArray<WorstEndpoint>, DbError>
    /** Endpoints by state. */
    readonly countByState: Effect.Effect<EndpointCounts, DbError>
  }
>()("spillway/Webhooks/Endpoints/EndpointRows") {
  static readonly layer = Layer.effect(
    EndpointRows,
    Effect.suspend(() => make)
  )
}

type Sql = SqlClient.SqlClient

const columns = (sql: Sql) => sql`
  id::text as id, uid, url, types, description, is_enabled as "isEnabled", disabled_at as "disabledAt",
  disabled_reason as "disabledReason", audio_seconds as "audioSeconds", rate, header_names as headers,
  created_at as "createdAt"`

/** A condition on the row of an endpoint: the owner may manage it. */
export function isOwnedBy(sql: Sql, { isAdmin, uid }: Owner, id: string) {
  return sql`id = ${id}::uuid and deleted_at is null and (uid = ${uid} or (uid is null and ${isAdmin}))`
}

/** A condition on the row of an endpoint: events are delivered to it. */
export function isActive(sql: Sql, e: Statement.Fragment) {
  return sql`(${e}.is_enabled and ${e}.disabled_at is null and ${e}.deleted_at is null)`
}

/** Brings the subscriptions up to date with the row of the endpoint. Part of a transaction. */
export function subscribe(sql: Sql, id: string) {
  return Effect.andThen(
    sql`delete from webhook_subscriptions where endpoint_id = ${id}::uuid`,
    sql`
      insert into webhook_subscriptions (uid, type, endpoint_id)
      select coalesce(e.uid, ''), unnest(e.types), e.id from webhook_endpoints e
      where e.id = ${id}::uuid and ${isActive(sql, sql`e`)}`
  )
}

const make = Effect.gen(function* () {
  const db = yield* Db
  const clock = yield* Clock.Clock
  const credentials = yield* makeCredentials

  const isOwned = (sql: Sql, by: Owner, id: string) => sql`${isOwnedBy(sql, by, id)} and polled_at is null`
  const ofUser = (sql: Sql, uid: string | undefined) => (uid === undefined ? sql`uid is null` : sql`uid = ${uid}`)

  const select = (sql: Sql, where: Statement.Fragment) =>
    sql`select ${columns(sql)} from webhook_endpoints where ${where} order by id limit ${maxEndpointsOfUser}`.pipe(
      Effect.flatMap(decodeRows),
      Effect.map((rows) => rows.map(endpointOf)),
      Effect.catchTag("SchemaError", Effect.die)
    )

  /** Locks the row. */
  const credentialsOf = Effect.fnUntraced(function* (sql: Sql, owner: Owner, id: string) {
    const [row] = yield* sql`
      select uid, secrets, sealed from webhook_endpoints where ${isOwned(sql, owner, id)} for update`.pipe(
      Effect.flatMap(decodeCredentials),
      Effect.catchTag("SchemaError", Effect.die)
    )
    if (row === undefined) return undefined
    const uid = row.uid ?? undefined
    return { uid, held: yield* credentials.fromRow(uid, row) }
  })

  return EndpointRows.of({
    create: Effect.fn("EndpointRows.create")(function* (uid, fields, scheme, kind = "endpoint") {
      const id = SecureRandom.uuidV7Unsafe()
      const secret = Signature.makeSecret(scheme)
      const { sealed, secrets } = yield* credentials.toRow(uid, { secrets: [{ secret }], headers: fields.headers })
      const [endpoint] = yield* db.transactionIdempotent(
        "EndpointRows.create",
        Effect.fnUntraced(function* (sql) {
          yield* sql`lock table webhook_endpoints in share row exclusive mode`
          const [full] = yield* sql<{ readonly ofUser: boolean; readonly inAll: boolean }>`
            select exists(
                     select from webhook_endpoints where ${ofUser(sql, uid)} and deleted_at is null
                     offset ${maxEndpointsOfUser - 1}
                   ) as "ofUser",
                   exists(select from webhook_endpoints where deleted_at is null offset ${maxEndpoints - 1}) as "inAll"`
          if (full?.ofUser === true) return yield* new TooManyEndpoints({ bound: "user" })
          if (full?.inAll === true) return yield* new TooManyEndpoints({ bound: "server" })
          yield* sql`
            insert into webhook_endpoints
              (id, uid, url, types, description, is_enabled, audio_seconds, rate, header_names, secrets, sealed, polled_at)
            values (
              ${id}::uuid, ${uid ?? null}::text, ${fields.url}, ${fields.types}::text[], ${fields.description},
              ${fields.isEnabled}, ${fields.audioSeconds ?? null}::int, ${fields.rate ?? null}::int,
              ${Object.keys(fields.headers)}::text[], ${secrets}::text, ${sealed}::bytea,
              case when ${kind === "listener"} then now() end
            ) on conflict (id) do nothing`
          if (kind === "endpoint")
            yield* sql`insert into webhook_turns (endpoint_id) values (${id}::uuid) on conflict do nothing`
          yield* subscribe(sql, id)
          return yield* select(sql, sql`id = ${id}::uuid`)
        })
      )
      return { endpoint: yield* Effect.orDie(Effect.fromNullishOr(endpoint)), secret }
    }),
    list: Effect.fn("EndpointRows.list")((uid) =>
      db.read("EndpointRows.list", (sql) =>
        select(sql, sql`${ofUser(sql, uid)} and deleted_at is null and polled_at is null`)
      )
    ),
    find: Effect.fn("EndpointRows.find")((owner, id) =>
      Effect.map(
        db.read("EndpointRows.find", (sql) => select(sql, isOwned(sql, owner, id))),
        ([endpoint]) => Option.fromUndefinedOr(endpoint)
      )
    ),
    update: Effect.fn("EndpointRows.update")((owner, id, changes) =>
      db.transactionIdempotent(
        "EndpointRows.update",
        Effect.fnUntraced(function* (sql) {
          const found = yield* credentialsOf(sql, owner, id)
          if (found === undefined) return Option.none()
          const { audioSeconds, description, headers, isEnabled, rate, types, url } = changes
          const { sealed, secrets } = yield* credentials.toRow(found.uid, {
            ...found.held,
            headers: headers ?? found.held.headers
          })
          yield* sql`
            update webhook_endpoints
            set url = coalesce(${url ?? null}::text, url), types = coalesce(${types ?? null}::text[], types),
                description = coalesce(${description ?? null}::text, description),
                is_enabled = coalesce(${isEnabled ?? null}::boolean, is_enabled),
                audio_seconds = case when ${"audioSeconds" in changes}::boolean then ${audioSeconds ?? null}::int else audio_seconds end,
                rate = case when ${"rate" in changes}::boolean then ${rate ?? null}::int else rate end,
                disabled_at = case when ${isEnabled === true}::boolean then null else disabled_at end,
                disabled_reason = case when ${isEnabled === true}::boolean then null else disabled_reason end,
                header_names = coalesce(${headers === undefined ? null : Object.keys(headers)}::text[], header_names),
                secrets = ${secrets}::text, sealed = ${sealed}::bytea, updated_at = now()
            where id = ${id}::uuid`
          yield* subscribe(sql, id)
          if (isEnabled === true) {
            yield* sql`
              update webhook_turns
              set failures = 0, failing_since = null, paused_until = null, is_woken = true,
                  due_at = case when token is null then now() else due_at end
              where endpoint_id = ${id}::uuid`
          }
          const [endpoint] = yield* select(sql, sql`id = ${id}::uuid`)
          return Option.fromUndefinedOr(endpoint)
        })
      )
    ),
    rotate: Effect.fn("EndpointRows.rotate")(function* (owner, id, overlap) {
      return yield* db.transaction(
        "EndpointRows.rotate",
        Effect.fnUntraced(function* (sql) {
          const found = yield* credentialsOf(sql, owner, id)
          if (found === undefined) return Option.none()
          const [last] = found.held.secrets
          const secret = Signature.makeSecret(last === undefined ? "v1" : Signature.schemeOf(last.secret))
          const until = clock.currentTimeMillisUnsafe() + Duration.toMillis(overlap)
          const kept = last === undefined ? [] : [{ secret: last.secret, until }]
          const row = yield* credentials.toRow(found.uid, { ...found.held, secrets: [{ secret }, ...kept] })
          yield* sql`
            update webhook_endpoints
            set secrets = ${row.secrets}::text, sealed = ${row.sealed}::bytea, updated_at = now() where id = ${id}::uuid`
          return Option.some(secret)
        })
      )
    }),
    remove: Effect.fn("EndpointRows.remove")((owner, id) =>
      db
        .transactionIdempotent("EndpointRows.remove", (sql) => remove(sql, isOwned(sql, owner, id)))
        .pipe(Effect.map((count) => count > 0))
    ),
    worst: db.read("EndpointRows.worst", (sql) =>
      sql`
        select ${columns(sql)}, t.failures, t.failing_since as "failingSince",
               coalesce(greatest(0, extract(epoch from now() - case when t.token is null then t.due_at end)), 0)::float8 as "overdueSeconds"
        from webhook_endpoints join webhook_turns t on t.endpoint_id = id
        where deleted_at is null and is_enabled and (t.failures > 0 or disabled_at is not null or t.due_at < now())
        order by t.failures desc, t.due_at limit ${worstListed}`.pipe(
        Effect.flatMap(decodeWorst),
        Effect.map((rows) =>
          rows.map(({ failingSince, failures, overdueSeconds, ...row }) => ({
            endpoint: endpointOf(row),
            failures,
            failingSince: failingSince ?? undefined,
            overdueSeconds
          }))
        ),
        Effect.catchTag("SchemaError", Effect.die)
      )
    ),
    countByState: db
      .read(
        "EndpointRows.countByState",
        (sql) => sql<EndpointCounts>`
          select count(*) filter (where not is_enabled)::int as off,
                 count(*) filter (where is_enabled and disabled_at is not null)::int as disabled,
                 count(*) filter (where is_enabled and disabled_at is null and t.failures > 0)::int as failing,
                 count(*) filter (where is_enabled and disabled_at is null and t.failures = 0)::int as healthy
          from webhook_endpoints join webhook_turns t on t.endpoint_id = id where deleted_at is null`
      )
      .pipe(Effect.map(([row]) => row ?? { healthy: 0, failing: 0, disabled: 0, off: 0 }))
  })
})
