/** Webhooks on a real database, with endpoints on this machine. */
import { Deferred, Duration, Effect, Fiber, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { Db } from "../../../src/Db.ts"
import { Protection } from "../../../src/Encryption.ts"
import { ProtectionConfig } from "../../../src/Encryption/ProtectionConfig.ts"
import * as Events from "../../../src/Events.ts"
import { EndpointErasure, Webhooks } from "../../../src/Webhooks.ts"
import { DeliveryRows } from "../../../src/Webhooks/Deliveries/DeliveryRows.ts"
import { type Release, type Result, type Turn, TurnRows } from "../../../src/Webhooks/Deliveries/TurnRows.ts"
import { EndpointRows, type Fields } from "../../../src/Webhooks/Endpoints/EndpointRows.ts"
import { WebhooksConfig } from "../../../src/Webhooks/WebhooksConfig.ts"
import * as Postgres from "../../support/Postgres.ts"
import { environment } from "../../support/Settings.ts"

export const settings = environment({
  SPILLWAY_WEBHOOK_ALLOW_HTTP: "yes",
  SPILLWAY_WEBHOOK_ALLOW_ADDRESSES: "127.0.0.0/8"
})

export const configured = Layer.mergeAll(
  Protection.layer.pipe(Layer.provide(ProtectionConfig.layer)),
  WebhooksConfig.layer
).pipe(Layer.provide(settings))

/** Without the loops. */
export const layerOn = <A, E, R>(postgres: Layer.Layer<A, E, R>) =>
  Layer.mergeAll(
    Webhooks.layer,
    Events.Events.layer,
    EndpointRows.layer,
    EndpointErasure.layer,
    DeliveryRows.layer,
    TurnRows.layer
  ).pipe(Layer.provideMerge(configured), Layer.provideMerge(postgres))

export const layer = layerOn(Postgres.layer)

export const fields = (url: string, changes: Partial<Fields> = {}): Fields => ({
  url,
  types: ["*"],
  description: "",
  isEnabled: true,
  audioSeconds: undefined,
  rate: undefined,
  headers: {},
  ...changes
})

export const Said = Schema.Struct({ n: Schema.Int })
export const said = Events.define({ name: "test.said", description: "Of tests.", data: Said })
export const brief = Events.define({
  name: "test.brief",
  description: "Of tests; stale after a minute.",
  data: Said,
  expiresAfter: Duration.minutes(1)
})

export const endpoint = (uid: string | undefined, url: string, changes: Partial<Fields> = {}) =>
  Effect.flatMap(EndpointRows, (rows) => rows.create(uid, fields(url, changes), "v1"))

/** Committed when it returns. */
export const append = (uid: string, numbers: ReadonlyArray<number>, type = said) =>
  Effect.gen(function* () {
    const db = yield* Db
    const events = yield* Events.Events
    const made = yield* Effect.forEach(numbers, (n) => Events.make(type, { uid, data: { n } }))
    yield* db.transactionIdempotent("test.append", (sql) => events.append(sql, made))
    return made.map(({ id }) => `evt_${id.replaceAll("-", "")}`)
  })

/** The turns of endpoints with new events are due; none is taken. */
export const wake = Effect.gen(function* () {
  const events = yield* Events.Events
  const turns = yield* TurnRows
  return yield* turns.wake(yield* events.takeAppended(Duration.zero), { healthy: 0, failing: 0 })
})

/** Runs `work` in a transaction that is open until `commit`, which returns its result. */
export const uncommitted = Effect.fnUntraced(function* <A, E, R>(effect: Effect.Effect<A, E, R>) {
  const db = yield* Db
  const work = Effect.provideContext(effect, yield* Effect.context<R>())
  const [done, end] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
  const fiber = yield* db
    .transaction("test.uncommitted", () =>
      work.pipe(
        Effect.tap(() => Deferred.succeed(done, undefined)),
        Effect.tap(() => Deferred.await(end))
      )
    )
    .pipe(Effect.forkChild)
  yield* Effect.raceFirst(Deferred.await(done), Fiber.join(fiber))
  return { commit: Effect.andThen(Deferred.succeed(end, undefined), Fiber.join(fiber)) }
})

/** What a node records of a turn whose deliveries were answered with 200. */
export const delivered = (turn: Turn | undefined): ReadonlyArray<Result> =>
  turn === undefined
    ? []
    : turn.deliveries.map(({ event }) => ({
        endpoint: turn.endpoint,
        token: turn.token,
        event,
        state: "delivered",
        due: null,
        attempts: 1,
        made: 1,
        at: 0,
        millis: 1,
        request: null,
        status: 200,
        head: null,
        body: null,
        error: null
      }))

/** The end of a turn without failures. */
export const released = (turn: Turn | undefined): ReadonlyArray<Release> =>
  turn === undefined ? [] : [{ endpoint: turn.endpoint, token: turn.token, failures: 0, since: null, pause: 0 }]

/** One round: what was appended and what is due is attempted. */
export const round = Effect.gen(function* () {
  const { idle, sweep, wakeAppended } = yield* Webhooks
  yield* wakeAppended(Duration.zero)
  yield* idle
  while ((yield* sweep("healthy")) + (yield* sweep("failing")) > 0) yield* idle
})

interface DeliveryRow {
  readonly event: string
  readonly endpoint: string
  readonly state: string
  readonly attempts: number
  readonly made: number
  readonly due: number | null
  readonly error: string | null
}

/** By event; `due` in milliseconds from now. */
export const deliveries = SqlClient.SqlClient.use(
  (sql) => sql<DeliveryRow>`
    select event_id::text as event, endpoint_id::text as endpoint, state, attempts, attempts_made as made,
           (extract(epoch from due_at - now()) * 1e3)::float8 as due, error
    from webhook_deliveries order by event_id, endpoint_id`
)

export const clear = SqlClient.SqlClient.use(
  (sql) =>
    sql`truncate events, webhook_endpoints, webhook_deliveries, webhook_attempts, webhook_subscriptions, webhook_turns`
)

/** Everything that waits is due now, and leases end now. */
export const lapse = SqlClient.SqlClient.use((sql) =>
  Effect.andThen(
    sql`update webhook_deliveries set due_at = now() where due_at is not null`,
    sql`update webhook_turns set due_at = now(), paused_until = null`
  )
)
