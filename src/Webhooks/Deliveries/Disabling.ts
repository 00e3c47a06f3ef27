/** Disables endpoints that fail for too long or are gone, and enables those that recover. */
import { Context, DateTime, Duration, Effect, Layer, Schema } from "effect"
import type { SqlClient } from "effect/sql"
import { Db, type DbError, intervalOf } from "../../Db.ts"
import * as Events from "../../Events.ts"
import { DisabledReason } from "../Endpoints/Endpoint.ts"
import { subscribe } from "../Endpoints/EndpointRows.ts"
import * as Ids from "../Ids.ts"
import { probeEvery, type Turn } from "./TurnRows.ts"

const disabledEvent = Events.define({
  name: "endpoint.disabled",
  description: "An endpoint was disabled: it has answered 410, or its deliveries have failed for too long.",
  data: Schema.Struct({
    endpoint_id: Schema.String,
    uid: Schema.NullOr(Schema.String),
    /** Without its query. */
    url: Schema.String,
    reason: DisabledReason,
    failures: Schema.Int,
    failing_since: Schema.NullOr(Schema.String)
  })
})

/** What the owner of an endpoint sends to try it, and what a disabled endpoint is probed with. */
export const testEvent = Events.define({
  name: "webhook.test",
  description: "A test: sent on request, and to probe a disabled endpoint.",
  data: Schema.Struct({ endpoint_id: Schema.String, uid: Schema.NullOr(Schema.String) }),
  expiresAfter: Duration.minutes(10)
})

export interface Failures extends Pick<Turn, "endpoint" | "token" | "url" | "uid" | "failures" | "failingSince"> {}

export class Disabling extends Context.Service<
  Disabling,
  {
    /** Ends the turn. Nothing is sent from now on, and the owner's other endpoints are notified. */
    disable(turn: Failures, reason: DisabledReason): Effect.Effect<void, DbError>
    /** Ends the turn of a probe that succeeded: deliveries resume. */
    enable(turn: Pick<Turn, "endpoint" | "token">): Effect.Effect<void, DbError>
    /** Ends the turn of a probe that failed. */
    keepDisabled(turn: Pick<Turn, "endpoint" | "token">): Effect.Effect<void, DbError>
  }
>()("spillway/Webhooks/Deliveries/Disabling") {
  static readonly layer = Layer.effect(
    Disabling,
    Effect.suspend(() => make)
  ).pipe(Layer.provide(Events.Events.layer))
}

const make = Effect.gen(function* () {
  const db = yield* Db
  const events = yield* Events.Events

  /** Runs `work` while this node has the turn. */
  const owned = <A, E, R>(
    sql: SqlClient.SqlClient,
    { endpoint, token }: Pick<Turn, "endpoint" | "token">,
    work: Effect.Effect<A, E, R>
  ) =>
    Effect.flatMap(
      sql`select from webhook_turns where endpoint_id = ${endpoint}::uuid and token = ${token}::uuid for update`,
      (rows) => (rows.length > 0 ? Effect.asVoid(work) : Effect.void)
    )
  const end = (sql: SqlClient.SqlClient, endpoint: string, after: Duration.Duration | undefined) => sql`
    update webhook_turns set token = null, is_woken = false, paused_until = null,
      due_at = now() + ${after === undefined ? null : intervalOf(after)}::interval
    where endpoint_id = ${endpoint}::uuid`

  return Disabling.of({
    disable: Effect.fn("Disabling.disable")(function* (turn, reason) {
      const { endpoint, failingSince, failures, uid, url } = turn
      const event = yield* Events.make(disabledEvent, {
        uid: uid ?? "",
        data: {
          endpoint_id: Ids.endpointId(endpoint),
          uid: uid ?? null,
          url: url.replace(/[?#].*$/s, ""),
          reason,
          failures,
          failing_since: failingSince === undefined ? null : DateTime.formatIso(DateTime.makeUnsafe(failingSince))
        }
      })
      const work = Effect.fnUntraced(function* (sql: SqlClient.SqlClient) {
        const disabled = yield* sql`
          update webhook_endpoints set disabled_at = now(), disabled_reason = ${reason}, updated_at = now()
          where id = ${endpoint}::uuid and is_enabled and disabled_at is null and deleted_at is null returning 1`
        yield* sql`delete from webhook_subscriptions where endpoint_id = ${endpoint}::uuid`
        yield* sql`
          update webhook_turns set failures = ${failures}, failing_since = to_timestamp(${failingSince ?? null}::float8 / 1e3)
          where endpoint_id = ${endpoint}::uuid`
        yield* end(sql, endpoint, reason === "failing" ? probeEvery : undefined)
        if (disabled.length > 0) yield* events.append(sql, [event])
      })
      yield* db.transactionIdempotent("Disabling.disable", (sql) => owned(sql, turn, work(sql)))
      yield* Effect.annotateLogs(Effect.logWarning("an endpoint of webhooks was disabled"), {
        endpoint,
        uid,
        reason,
        failures
      })
    }),
    enable: Effect.fn("Disabling.enable")((turn) =>
      db.transactionIdempotent("Disabling.enable", (sql) =>
        owned(
          sql,
          turn,
          Effect.gen(function* () {
            yield* sql`
              update webhook_endpoints set disabled_at = null, disabled_reason = null, updated_at = now()
              where id = ${turn.endpoint}::uuid and disabled_reason = 'failing'`
            yield* subscribe(sql, turn.endpoint)
            yield* sql`
              update webhook_turns set failures = 0, failing_since = null where endpoint_id = ${turn.endpoint}::uuid`
            yield* end(sql, turn.endpoint, Duration.zero)
          })
        )
      )
    ),
    keepDisabled: Effect.fn("Disabling.keepDisabled")((turn) =>
      db.transactionIdempotent("Disabling.keepDisabled", (sql) => owned(sql, turn, end(sql, turn.endpoint, probeEvery)))
    )
  })
})
