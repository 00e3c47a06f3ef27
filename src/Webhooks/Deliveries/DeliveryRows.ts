/** The log of deliveries: pages, one with its attempts, what is sent again, and what is removed. */
import { Clock, Context, Duration, Effect, Layer, Option, Schema } from "effect"
import type { SqlClient, Statement } from "effect/sql"
import { Db, type DbError } from "../../Db.ts"
import * as Events from "../../Events.ts"
import * as Ids from "../Ids.ts"
import { testEvent } from "./Disabling.ts"

/** How long bodies of events and attempts are kept, and the lines of the log. */
const bodiesKept = Duration.days(30)
const linesKept = Duration.days(90)

/** Rows of a table that one round removes. */
const pruned = 5_000

/** Rows that a page with a type reads; a page can be short, and the next one continues. */
const scanned = 1_000

/** Deliveries of one replay of a range, and the pace of their first attempts. */
export const maxReplayed = 10_000
const replayedPerSecond = 100

/** Larger counts are cut to this. */
const maxCounted = 10_000

/** Latest deliveries that the health of an endpoint is computed from. */
const healthRows = 1_000

export const State = Schema.Literals(["pending", "delivered", "dead", "expired"])
export type State = typeof State.Type

const states = State.literals

const Delivery = Schema.Struct({
  event: Schema.String,
  type: Schema.String,
  state: State,
  made: Schema.Int,
  status: Schema.NullOr(Schema.Int),
  millis: Schema.NullOr(Schema.Int),
  error: Schema.NullOr(Schema.String),
  dueAt: Schema.NullOr(Schema.Date),
  endedAt: Schema.NullOr(Schema.Date)
})
export type Delivery = typeof Delivery.Type
const decodeDeliveries = Schema.decodeUnknownEffect(Schema.Array(Delivery))

const Attempt = Schema.Struct({
  number: Schema.Int,
  at: Schema.Date,
  millis: Schema.Int,
  request: Schema.String,
  status: Schema.NullOr(Schema.Int),
  head: Schema.NullOr(Schema.String),
  body: Schema.NullOr(Schema.String),
  error: Schema.NullOr(Schema.String)
})
export type Attempt = typeof Attempt.Type
const decodeAttempts = Schema.decodeUnknownEffect(Schema.Array(Attempt))

const Health = Schema.Struct({
  /** Of the latest 1,000 that are not pending. */
  ended: Schema.Int,
  delivered: Schema.Int,
  p50: Schema.NullOr(Schema.Finite),
  p95: Schema.NullOr(Schema.Finite),
  /** Counted to 10,000. */
  pending: Schema.Int,
  nextAt: Schema.NullOr(Schema.Date),
  failures: Schema.Int,
  failingSince: Schema.NullOr(Schema.Date)
})
export type Health = typeof Health.Type
const decodeHealth = Schema.decodeUnknownEffect(Schema.Array(Health))

export interface Page {
  readonly deliveries: ReadonlyArray<Delivery>
  /** The `before` of the next page; none on the last one. */
  readonly next: string | undefined
}

export interface Range {
  /** Milliseconds since the Unix epoch, `to` exclusive. */
  readonly from: number
  readonly to: number
  readonly states: ReadonlyArray<State>
}

/** Ids are UUIDs. */
export class DeliveryRows extends Context.Service<
  DeliveryRows,
  {
    /** Newest first. */
    page(
      endpoint: string,
      query: {
        readonly state: State | undefined
        readonly type: string | undefined
        readonly before: string | undefined
        readonly limit: number
      }
    ): Effect.Effect<Page, DbError>
    find(
      endpoint: string,
      event: string
    ): Effect.Effect<
      Option.Option<{
        readonly delivery: Delivery
        readonly attempts: ReadonlyArray<Attempt>
        readonly body: string | null
      }>,
      DbError
    >
    /** Attempts it again at once, with all retries. False if the event is erased, or there is none. */
    replay(endpoint: string, event: string): Effect.Effect<boolean, DbError>
    /** How many deliveries `replayRange` would send again, counted to one more than its bound. */
    countRange(endpoint: string, range: Range): Effect.Effect<number, DbError>
    /** Attempts the oldest ones again, up to the bound, 100 a second. Returns how many. */
    replayRange(endpoint: string, range: Range): Effect.Effect<number, DbError>
    /** Sends a test to the endpoint; returns the event's id. */
    test(endpoint: string, uid: string | undefined): Effect.Effect<string, DbError>
    health(endpoint: string): Effect.Effect<Health, DbError>
    /** Deliveries that wait, counted to 10,000, and for how long the turn that is due first has waited. */
    readonly backlog: Effect.Effect<{ readonly pending: number; readonly overdueSeconds: number }, DbError>
    /** Removes a bounded number of old rows; true if there are more. */
    readonly prune: Effect.Effect<boolean, DbError>
  }
>()("spillway/Webhooks/Deliveries/DeliveryRows") {
  static readonly layer = Layer.effect(
    DeliveryRows,
    Effect.suspend(() => make)
  ).pipe(Layer.provide(Events.Events.layer))
}

type Sql = SqlClient.SqlClient

/** Nothing is sent before the pause of the endpoint ends. */
const columns = (sql: Sql, endpoint: string) => sql`
  event_id::text as event, type, state, attempts_made as made, status, millis, error, ended_at as "endedAt",
  case when due_at is not null then greatest(
    due_at, (select paused_until from webhook_turns where endpoint_id = ${endpoint}::uuid)
  ) end as "dueAt"`

/** The latest rows of an endpoint: those of each state by the index, then the latest of these. */
const latest = (
  sql: Sql,
  endpoint: string,
  wanted: ReadonlyArray<State>,
  before: string | undefined,
  limit: number
) => {
  const earlier = before === undefined ? sql`` : sql`and event_id < ${before}::uuid`
  const ofState = (state: State): Statement.Fragment => sql`
    (select * from webhook_deliveries where endpoint_id = ${endpoint}::uuid and state = ${state} ${earlier}
     order by event_id desc limit ${limit})`
  const [first, ...rest] = wanted.map(ofState)
  return sql`
    select * from (${rest.reduce((all, each) => sql`${all} union all ${each}`, first ?? sql``)}) as l
    order by event_id desc limit ${limit}`
}

const make = Effect.gen(function* () {
  const db = yield* Db
  const events = yield* Events.Events
  const clock = yield* Clock.Clock

  const inRange = (sql: Sql, endpoint: string, { from, states: wanted, to }: Range, limit: number) => sql`
    select event_id, endpoint_id from webhook_deliveries d
    where endpoint_id = ${endpoint}::uuid and state = any(${wanted}::text[])
      and event_id >= ${Ids.firstAt(from)}::uuid and event_id < ${Ids.firstAt(to)}::uuid
      and exists (select from events v where v.id = d.event_id)
    order by event_id limit ${limit}`

  const reset = (sql: Sql) => sql`state = 'pending', attempts = 0, ended_at = null`

  const pruneTable = (table: "events" | "webhook_attempts" | "webhook_deliveries", age: Duration.Duration) => {
    const column = table === "events" ? "id" : "event_id"
    const before = Ids.firstAt(clock.currentTimeMillisUnsafe() - Duration.toMillis(age))
    return db.writeIdempotent(
      "DeliveryRows.prune",
      (sql) => sql`
        delete from ${sql(table)} where ctid = any(array(
          select ctid from ${sql(table)} where ${sql(column)} < ${before}::uuid order by ${sql(column)} limit ${pruned}
        )) returning 1`
    )
  }

  return DeliveryRows.of({
    page: Effect.fn("DeliveryRows.page")(function* (endpoint, { before, limit, state, type }) {
      const wanted = state === undefined ? states : [state]
      const read = type === undefined ? limit + 1 : scanned
      const rows = yield* db.read("DeliveryRows.page", (sql) =>
        sql`select ${columns(sql, endpoint)} from (${latest(sql, endpoint, wanted, before, read)}) as d order by event_id desc`.pipe(
          Effect.flatMap(decodeDeliveries),
          Effect.catchTag("SchemaError", Effect.die)
        )
      )
      const matching = type === undefined ? rows : rows.filter((row) => row.type === type)
      const deliveries = matching.slice(0, limit)
      if (matching.length > limit) return { deliveries, next: deliveries.at(-1)?.event }
      return { deliveries, next: type !== undefined && rows.length === read ? rows.at(-1)?.event : undefined }
    }),
    find: Effect.fn("DeliveryRows.find")(function* (endpoint, event) {
      return yield* db.read("DeliveryRows.find", (sql) =>
        Effect.gen(function* () {
          const isWanted = sql`event_id = ${event}::uuid and endpoint_id = ${endpoint}::uuid`
          const [delivery] = yield* Effect.flatMap(
            sql`select ${columns(sql, endpoint)} from webhook_deliveries where ${isWanted}`,
            decodeDeliveries
          )
          if (delivery === undefined) return Option.none()
          const attempts = yield* Effect.flatMap(
            sql`
              select number, at, millis, request, status, response_head as head, response_body as body, error
              from webhook_attempts where ${isWanted} order by number`,
            decodeAttempts
          )
          const [stored] = yield* sql<{
            readonly body: string | null
          }>`select body from events where id = ${event}::uuid`
          return Option.some({ delivery, attempts, body: stored?.body ?? null })
        }).pipe(Effect.catchTag("SchemaError", Effect.die))
      )
    }),
    replay: Effect.fn("DeliveryRows.replay")(function* (endpoint, event) {
      const rows = yield* db.writeIdempotent(
        "DeliveryRows.replay",
        (sql) => sql`
          update webhook_deliveries set ${reset(sql)}, due_at = now()
          where event_id = ${event}::uuid and endpoint_id = ${endpoint}::uuid
            and exists (select from events where id = ${event}::uuid)
          returning 1`
      )
      if (rows.length > 0) events.wake([endpoint])
      return rows.length > 0
    }),
    countRange: Effect.fn("DeliveryRows.countRange")(function* (endpoint, range) {
      const [row] = yield* db.read(
        "DeliveryRows.countRange",
        (sql) => sql<{ readonly n: number }>`
          select count(*)::int as n from (${inRange(sql, endpoint, range, maxReplayed + 1)}) as d`
      )
      return row?.n ?? 0
    }),
    replayRange: Effect.fn("DeliveryRows.replayRange")(function* (endpoint, range) {
      const rows = yield* db.write(
        "DeliveryRows.replayRange",
        (sql) => sql`
          with wanted as (${inRange(sql, endpoint, range, maxReplayed)}), paced as (
            select *, row_number() over (order by event_id) - 1 as n from wanted
          )
          update webhook_deliveries d
          set ${reset(sql)}, due_at = now() + paced.n * ${`${1_000 / replayedPerSecond} milliseconds`}::interval
          from paced where d.event_id = paced.event_id and d.endpoint_id = paced.endpoint_id
          returning 1`
      )
      if (rows.length > 0) events.wake([endpoint])
      return rows.length
    }),
    test: Effect.fn("DeliveryRows.test")(function* (endpoint, uid) {
      const data = { endpoint_id: Ids.endpointId(endpoint), uid: uid ?? null }
      const event = yield* Events.make(testEvent, { uid: uid ?? "", data })
      yield* db.transactionIdempotent("DeliveryRows.test", (sql) => events.appendFor(sql, endpoint, event))
      return event.id
    }),
    health: Effect.fn("DeliveryRows.health")(function* (endpoint) {
      const [health] = yield* db.read("DeliveryRows.health", (sql) =>
        sql`
          select h.*, (
                   select count(*)::int from (
                     select from webhook_deliveries where endpoint_id = ${endpoint}::uuid and due_at is not null
                     limit ${maxCounted}
                   ) as p
                 ) as pending,
                 t.due_at as "nextAt", coalesce(t.failures, 0) as failures, t.failing_since as "failingSince"
          from (
            select count(*)::int as ended, count(*) filter (where state = 'delivered')::int as delivered,
                   percentile_disc(0.5) within group (order by millis)::float8 as p50,
                   percentile_disc(0.95) within group (order by millis)::float8 as p95
            from (${latest(sql, endpoint, ["delivered", "dead"], undefined, healthRows)}) as l
          ) as h
          left join webhook_turns t on t.endpoint_id = ${endpoint}::uuid`.pipe(
          Effect.flatMap(decodeHealth),
          Effect.catchTag("SchemaError", Effect.die)
        )
      )
      return yield* Effect.orDie(Effect.fromNullishOr(health))
    }),
    backlog: db
      .read(
        "DeliveryRows.backlog",
        (sql) => sql<{ readonly pending: number; readonly overdueSeconds: number }>`
          select (
                   select count(*)::int from (
                     select from webhook_deliveries where due_at is not null limit ${maxCounted}
                   ) as d
                 ) as pending,
                 coalesce(extract(epoch from now() - (
                   select min(due_at) from webhook_turns where due_at < now() and token is null
                 )), 0)::float8 as "overdueSeconds"`
      )
      .pipe(Effect.map(([row]) => row ?? { pending: 0, overdueSeconds: 0 })),
    prune: Effect.suspend(() =>
      Effect.map(
        Effect.all([
          pruneTable("events", bodiesKept),
          pruneTable("webhook_attempts", bodiesKept),
          pruneTable("webhook_deliveries", linesKept)
        ]),
        (removed) => removed.some((rows) => rows.length === pruned)
      )
    )
  })
})
