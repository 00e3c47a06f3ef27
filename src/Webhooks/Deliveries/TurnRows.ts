/**
 * Turns of endpoints. A node takes the turns of endpoints with due deliveries for the time of a lease, and delivers a batch of
 * each. So an endpoint is served by one node at a time, and no row of a delivery changes before its outcome. What was committed
 * while its endpoint's turn is taken is found when the turn is released.
 */
import { Context, Duration, Effect, Layer, Schema } from "effect"
import { SecureRandom } from "effect/crypto"
import type { SqlClient } from "effect/sql"
import { Db, type DbError, intervalOf } from "../../Db.ts"
import { isActive } from "../Endpoints/EndpointRows.ts"

/** A turn whose node was killed is taken again after this time. */
const lease = Duration.seconds(12)

/** How often a node extends the leases of its turns. After an extension that fails there is time for another. */
export const extendEvery = Duration.seconds(4)

/** Deliveries of a turn; the rest follow in the next one. */
const maxBatch = 100

/** Payloads of a turn. A larger one is alone in its turn. */
const maxBatchBytes = 1024 * 1024

/**
 * The search for due deliveries of an endpoint begins so long before the end of its last turn, or at what waited then: as long as
 * an old transaction is open, the index has entries of all deliveries that ended. `recover` finds what was committed later.
 */
const lateCommits = Duration.seconds(10)

/** A turn takes about as many deliveries as the endpoint's rate allows in this time. */
const rateSeconds = 5

/** Attempts that are kept of a delivery, the latest ones. */
const keptAttempts = 20

/** A failing endpoint is probed this often after it was disabled. */
export const probeEvery = Duration.days(1)

/** Endpoints that fail have turns of their own, so that they don't delay the others. */
export type Lane = "healthy" | "failing"

const Row = Schema.Struct({
  endpoint: Schema.String,
  isTaken: Schema.Boolean,
  /** Waits for a turn. */
  isDue: Schema.Boolean,
  failures: Schema.Int,
  failingSince: Schema.NullOr(Schema.Finite),
  uid: Schema.NullOr(Schema.String),
  url: Schema.String,
  rate: Schema.NullOr(Schema.Int),
  secrets: Schema.NullOr(Schema.String),
  sealedSecrets: Schema.NullOr(Schema.Uint8Array),
  isProbe: Schema.Boolean,
  event: Schema.NullOr(Schema.String),
  type: Schema.NullOr(Schema.String),
  attempts: Schema.NullOr(Schema.Int),
  made: Schema.NullOr(Schema.Int),
  isErased: Schema.NullOr(Schema.Boolean),
  isExpired: Schema.NullOr(Schema.Boolean),
  owner: Schema.NullOr(Schema.String),
  body: Schema.NullOr(Schema.String),
  sealed: Schema.NullOr(Schema.Uint8Array)
})
const decode = Schema.decodeUnknownEffect(Schema.Array(Row))
const decoded = <E>(rows: Effect.Effect<unknown, E>) =>
  rows.pipe(Effect.flatMap(decode), Effect.catchTag("SchemaError", Effect.die))

export interface DueDelivery {
  readonly event: string
  readonly type: string
  /** Failed attempts in a row. */
  readonly attempts: number
  /** All attempts, those before a replay included. */
  readonly made: number
  readonly isErased: boolean
  readonly isExpired: boolean
  /** The user for whom `sealed` is encrypted. */
  readonly owner: string | undefined
  readonly body: string | undefined
  readonly sealed: Uint8Array | undefined
}

export interface Turn extends Pick<typeof Row.Type, "endpoint" | "failures" | "url"> {
  readonly token: string
  /** Milliseconds since the Unix epoch; none while deliveries succeed. */
  readonly failingSince: number | undefined
  readonly uid: string | undefined
  readonly rate: number | undefined
  readonly credentials: { readonly secrets: string | null; readonly sealed: Uint8Array | null }
  /** The endpoint is disabled because it fails, and probed. One that is disabled otherwise has no deliveries here. */
  readonly isProbe: boolean
  readonly deliveries: ReadonlyArray<DueDelivery>
}

/** An attempt, or why there was none. */
export interface Result {
  readonly endpoint: string
  readonly token: string
  readonly event: string
  readonly state: "pending" | "delivered" | "dead" | "expired"
  /** Milliseconds until the next attempt; null without one. */
  readonly due: number | null
  readonly attempts: number
  readonly made: number
  /** Milliseconds since the Unix epoch. */
  readonly at: number
  readonly millis: number
  /** Its head. Null: nothing was sent. */
  readonly request: string | null
  readonly status: number | null
  readonly head: string | null
  readonly body: string | null
  readonly error: string | null
}

export interface Release extends Pick<Turn, "endpoint" | "token" | "failures"> {
  readonly since: number | null
  /** Milliseconds in which the endpoint has no turn. */
  readonly pause: number
}

export type Limits = Readonly<Record<Lane, number>>

export interface Woken {
  readonly turns: ReadonlyArray<Turn>
  readonly due: ReadonlySet<Lane>
}

export class TurnRows extends Context.Service<
  TurnRows,
  {
    /** At most `limit` due turns, each with the deliveries that are due. */
    take(lane: Lane, limit: number): Effect.Effect<ReadonlyArray<Turn>, DbError>
    /**
     * Deliveries of these endpoints may have become due. Takes the turns of those that no node serves and that did not wait
     * before, as many of each lane as `limits`; makes the others due, and returns their lanes.
     */
    wake(endpoints: ReadonlyArray<string>, limits: Limits): Effect.Effect<Woken, DbError>
    /**
     * Records results and ends turns, in one statement. Those of a turn whose lease has ended have no effect. Returns the lanes
     * of turns that are due again.
     */
    complete(
      results: ReadonlyArray<Result>,
      releases: ReadonlyArray<Release>
    ): Effect.Effect<ReadonlySet<Lane>, DbError>
    /** Returns the endpoints whose turn this node still has. */
    extend(turns: ReadonlyArray<Pick<Turn, "endpoint" | "token">>): Effect.Effect<ReadonlySet<string>, DbError>
    /** Wakes endpoints whose due deliveries no node was notified of: one was killed after their commit. Returns how many. */
    readonly recover: Effect.Effect<number, DbError>
  }
>()("spillway/Webhooks/Deliveries/TurnRows") {
  static readonly layer = Layer.effect(
    TurnRows,
    Effect.suspend(() => make)
  )
}

type Sql = SqlClient.SqlClient

interface Moved {
  readonly isFailing: boolean
  readonly isDue: boolean
}

const lanesOf = (moved: ReadonlyArray<Moved>): ReadonlySet<Lane> => {
  const due = moved.filter(({ isDue }) => isDue)
  return new Set(due.map(({ isFailing }) => (isFailing ? "failing" : "healthy")))
}

const turnsOf = (token: string, rows: ReadonlyArray<typeof Row.Type>): ReadonlyArray<Turn> => {
  const turns = new Map<string, Turn & { readonly deliveries: Array<DueDelivery> }>()
  for (const row of rows) {
    if (!row.isTaken) continue
    const turn = turns.get(row.endpoint) ?? {
      endpoint: row.endpoint,
      token,
      failures: row.failures,
      failingSince: row.failingSince ?? undefined,
      uid: row.uid ?? undefined,
      url: row.url,
      rate: row.rate ?? undefined,
      credentials: { secrets: row.secrets, sealed: row.sealedSecrets },
      isProbe: row.isProbe,
      deliveries: []
    }
    turns.set(row.endpoint, turn)
    if (row.event === null) continue
    turn.deliveries.push({
      event: row.event,
      type: row.type ?? "",
      attempts: row.attempts ?? 0,
      made: row.made ?? 0,
      isErased: row.isErased === true,
      isExpired: row.isExpired === true,
      owner: row.owner ?? undefined,
      body: row.body ?? undefined,
      sealed: row.sealed ?? undefined
    })
  }
  return [...turns.values()]
}

/** The turns of `moved` with their endpoints; taken ones with a batch of what is due. */
const turnsWithDeliveries = (sql: Sql) => sql`
  select t.endpoint_id::text as endpoint, t.failures, t.is_taken as "isTaken", t.is_due as "isDue",
         (extract(epoch from t.failing_since) * 1e3)::float8 as "failingSince",
         e.uid, e.url, e.rate, e.secrets, e.sealed as "sealedSecrets",
         e.is_enabled and e.disabled_at is not null and e.disabled_reason = 'failing' as "isProbe",
         w.event_id::text as event, w.type, w.attempts, w.attempts_made as made, w.is_erased as "isErased",
         w.is_expired as "isExpired", w.owner, w.body, w.sealed
  from moved t
  join webhook_endpoints e on e.id = t.endpoint_id
  left join lateral (
    select * from (
      select d.*, v.id is null as is_erased, v.expires_at <= now() as is_expired, v.uid as owner, v.body, v.sealed,
             sum(coalesce(v.size, 0)) over (order by d.due_at, d.event_id) - coalesce(v.size, 0) as bytes_before
      from (
        select event_id, type, attempts, attempts_made, due_at from webhook_deliveries
        where endpoint_id = t.endpoint_id and due_at <= now() and due_at >= coalesce(t.scan_from, '-infinity')
        order by due_at, event_id limit least(${maxBatch}, e.rate * ${rateSeconds})
      ) as d
      left join events v on v.id = d.event_id
    ) as b
    where bytes_before < ${maxBatchBytes}
  ) as w on t.is_taken and ${isActive(sql, sql`e`)}
  order by t.endpoint_id, w.due_at, w.event_id`

// A lock is of the latest version of a row, but deliveries are read as they were when the statement began. A turn that has
// ended in between, which `xmin` tells, is not taken: its deliveries would be sent again.

const takeDue = (sql: Sql, lane: Lane, limit: number, token: string) => sql`
  with due as materialized (
    select endpoint_id, xmin as version from webhook_turns
    where (failures > 0) = ${lane === "failing"} and due_at <= now()
    order by due_at limit ${limit} for update skip locked
  ), moved as (
    update webhook_turns t
    set due_at = now() + ${intervalOf(lease)}::interval, token = ${token}::uuid, is_woken = false
    from due join webhook_turns seen on seen.endpoint_id = due.endpoint_id and seen.xmin = due.version
    where t.endpoint_id = due.endpoint_id
    returning t.endpoint_id, t.failures, t.failing_since, t.scan_from, true as is_taken, false as is_due
  )
  ${turnsWithDeliveries(sql)}`

const wake = (sql: Sql, endpoints: ReadonlyArray<string>, limits: Limits, token: string) => sql`
  with woken as materialized (
    select t.endpoint_id, t.xmin as version, t.failures > 0 as is_failing, t.token,
           coalesce(t.due_at > now(), true) and coalesce(t.paused_until <= now(), true) as is_idle
    from webhook_turns t join webhook_endpoints e on e.id = t.endpoint_id
    where t.endpoint_id = any(${endpoints}::uuid[]) and ${isActive(sql, sql`e`)}
    order by t.endpoint_id for update of t
  ), ranked as materialized (
    select w.*, row_number() over (partition by is_failing order by w.endpoint_id) as place
    from woken w join webhook_turns seen on seen.endpoint_id = w.endpoint_id and seen.xmin = w.version
    where (w.token is null and is_idle) or w.token = ${token}::uuid
  ), taken as materialized (
    select endpoint_id from ranked where place <= case when is_failing then ${limits.failing} else ${limits.healthy} end
  ), moved as (
    update webhook_turns t
    set token = case when k.endpoint_id is null then t.token else ${token}::uuid end,
        is_woken = k.endpoint_id is null and t.token is not null,
        due_at = case when k.endpoint_id is not null then now() + ${intervalOf(lease)}::interval
                      when t.token is null then least(t.due_at, greatest(now(), t.paused_until)) else t.due_at end
    from woken w left join taken k on k.endpoint_id = w.endpoint_id
    where t.endpoint_id = w.endpoint_id
    returning t.endpoint_id, t.failures, t.failing_since, t.scan_from, k.endpoint_id is not null as is_taken,
              t.token is null and t.due_at <= now() as is_due
  )
  ${turnsWithDeliveries(sql)}`

const complete = (sql: Sql, results: ReadonlyArray<Result>, releases: ReadonlyArray<Release>) => sql<Moved>`
  with r as materialized (
    select * from json_to_recordset(${JSON.stringify(results)}::json) as r(
      endpoint uuid, token uuid, event uuid, state text, due float8, attempts int, made int, at float8, millis float8,
      request text, status int, head text, body text, error text
    )
  ), l as materialized (
    select * from json_to_recordset(${JSON.stringify(releases)}::json) as l(
      endpoint uuid, token uuid, failures int, since float8, pause float8
    )
  ), owned as materialized (
    select t.endpoint_id, t.token, t.is_woken, t.scan_from from webhook_turns t
    where t.endpoint_id in (select endpoint from r union select endpoint from l)
      and (t.endpoint_id, t.token) in (select endpoint, token from r union select endpoint, token from l)
    order by t.endpoint_id for update
  ), done as (
    update webhook_deliveries d
    set state = r.state, due_at = now() + r.due * interval '1 millisecond', attempts = r.attempts, attempts_made = r.made,
        status = r.status, millis = r.millis, error = r.error, ended_at = case when r.due is null then now() end
    from r join owned o on o.endpoint_id = r.endpoint and o.token = r.token
    where d.event_id = r.event and d.endpoint_id = r.endpoint
    returning d.event_id, d.endpoint_id, d.attempts_made
  ), logged as (
    insert into webhook_attempts
      (event_id, endpoint_id, number, at, millis, request, status, response_head, response_body, error)
    select r.event, r.endpoint, r.made, to_timestamp(r.at / 1e3), r.millis, r.request, r.status, r.head, r.body, r.error
    from r join done d on d.event_id = r.event and d.endpoint_id = r.endpoint
    where r.request is not null
    on conflict do nothing
  ), trimmed as (
    delete from webhook_attempts a using done d
    where d.attempts_made > ${keptAttempts} and a.event_id = d.event_id and a.endpoint_id = d.endpoint_id
      and a.number <= d.attempts_made - ${keptAttempts}
  ), ended as (
    select l.*, now() + l.pause * interval '1 millisecond' as paused_until,
           least(n.due_at, now() - ${intervalOf(lateCommits)}::interval) as scan_from,
           case when not ${isActive(sql, sql`e`)} then null when o.is_woken then now() else least(
             n.due_at, (select now() + min(r.due) * interval '1 millisecond' from r where r.endpoint = l.endpoint)
           ) end as due_at
    from l join owned o on o.endpoint_id = l.endpoint and o.token = l.token
    join webhook_endpoints e on e.id = l.endpoint
    left join lateral (
      select d.due_at from webhook_deliveries d
      where d.endpoint_id = l.endpoint and d.due_at >= coalesce(o.scan_from, '-infinity')
        and not exists (select from r where r.event = d.event_id and r.endpoint = d.endpoint_id)
      order by d.due_at, d.event_id limit 1
    ) as n on true
  )
  update webhook_turns t
  set token = null, is_woken = false, failures = l.failures, failing_since = to_timestamp(l.since / 1e3),
      paused_until = l.paused_until, scan_from = l.scan_from,
      due_at = case when l.due_at is not null then greatest(l.due_at, l.paused_until) end
  from ended l where t.endpoint_id = l.endpoint
  returning t.failures > 0 as "isFailing", t.due_at <= now() as "isDue"`

const make = Effect.gen(function* () {
  const db = yield* Db

  return TurnRows.of({
    take: Effect.fnUntraced(function* (lane, limit) {
      const token = SecureRandom.uuidV4Unsafe()
      const rows = yield* db.write("TurnRows.take", (sql) => decoded(takeDue(sql, lane, limit, token)))
      return turnsOf(token, rows)
    }),
    wake: Effect.fnUntraced(function* (endpoints, limits) {
      const token = SecureRandom.uuidV4Unsafe()
      const rows = yield* db.writeIdempotent("TurnRows.wake", (sql) => decoded(wake(sql, endpoints, limits, token)))
      const due = lanesOf(rows.map(({ failures, isDue }) => ({ isFailing: failures > 0, isDue })))
      return { turns: turnsOf(token, rows), due }
    }),
    complete: (results, releases) =>
      Effect.map(
        db.writeIdempotent("TurnRows.complete", (sql) => complete(sql, results, releases)),
        lanesOf
      ),
    extend: Effect.fnUntraced(function* (turns) {
      const rows = yield* db.writeIdempotent(
        "TurnRows.extend",
        (sql) => sql<{ readonly endpoint: string }>`
          with held as materialized (
            select t.endpoint_id from webhook_turns t
            join unnest(
              ${turns.map(({ endpoint }) => endpoint)}::uuid[], ${turns.map(({ token }) => token)}::uuid[]
            ) as h(endpoint, token) on t.endpoint_id = h.endpoint and t.token = h.token
            order by t.endpoint_id for update of t
          )
          update webhook_turns t set due_at = now() + ${intervalOf(lease)}::interval
          from held where t.endpoint_id = held.endpoint_id
          returning t.endpoint_id::text as endpoint`
      )
      return new Set(rows.map(({ endpoint }) => endpoint))
    }),
    recover: Effect.map(
      db.writeIdempotent(
        "TurnRows.recover",
        (sql) => sql`
          with recursive waiting as (
            (
              select endpoint_id, due_at from webhook_deliveries where due_at is not null
              order by endpoint_id, due_at limit 1
            )
            union all
            select next.endpoint_id, next.due_at from waiting w cross join lateral (
              select endpoint_id, due_at from webhook_deliveries
              where due_at is not null and endpoint_id > w.endpoint_id order by endpoint_id, due_at limit 1
            ) as next
          ), missed as materialized (
            select t.endpoint_id, w.due_at
            from waiting w join webhook_turns t using (endpoint_id) join webhook_endpoints e on e.id = t.endpoint_id
            where ${isActive(sql, sql`e`)} and (
              w.due_at < t.scan_from
              or (t.token is null and (t.due_at is null or t.due_at > greatest(w.due_at, t.paused_until)))
            )
            order by t.endpoint_id for update of t skip locked
          )
          update webhook_turns t
          set scan_from = least(t.scan_from, missed.due_at), is_woken = t.token is not null,
              due_at = case when t.token is null then greatest(missed.due_at, t.paused_until) else t.due_at end
          from missed where t.endpoint_id = missed.endpoint_id returning 1`
      ),
      (rows) => rows.length
    )
  })
})
