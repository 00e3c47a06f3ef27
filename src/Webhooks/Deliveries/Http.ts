/** The log of deliveries, and the list of the worst webhooks. */
import { DateTime, Effect, Layer, Option } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { requireScope } from "../../Auth.ts"
import { Problem, ProblemRules } from "../../Http.ts"
import type { Endpoint } from "../Endpoints/Endpoint.ts"
import { EndpointRows } from "../Endpoints/EndpointRows.ts"
import { disabledProblem, isActive, ownedEndpoint } from "../Endpoints/OwnedEndpoint.ts"
import * as Ids from "../Ids.ts"
import { DeliveriesApi, type DeliveryInfo, type HealthInfo } from "./Api.ts"
import { type Delivery, DeliveryRows, maxReplayed } from "./DeliveryRows.ts"

const defaultLimit = 50

const timeOf = (date: Date | null | undefined) => (date == null ? null : DateTime.fromDateUnsafe(date))

const info = ({ dueAt, endedAt, event, made, ...delivery }: Delivery): DeliveryInfo => ({
  ...delivery,
  event_id: event,
  attempts: made,
  created_at: DateTime.makeUnsafe(Ids.madeAt(event)),
  next_attempt_at: timeOf(dueAt),
  ended_at: timeOf(endedAt)
})

const stateOf = ({ disabled, isEnabled }: Endpoint, failures: number): HealthInfo["state"] => {
  if (!isEnabled) return "off"
  if (disabled !== undefined) return "disabled"
  return failures > 0 ? "failing" : "healthy"
}

const noDelivery = Problem.notFound("The webhook has no delivery of this event.")
const erased = Problem.conflict(
  "event-erased",
  "The event can't be sent again",
  "It was removed: events are kept for 30 days, and are erased with their conversation."
)

const group = HttpApiBuilder.group(
  DeliveriesApi,
  "deliveries",
  Effect.fn(function* (handlers) {
    const endpoints = yield* EndpointRows
    const rows = yield* DeliveryRows
    const { answer } = yield* ProblemRules

    const owned = (id: string) => answer(ownedEndpoint(endpoints, id))
    const active = (id: string) =>
      Effect.flatMap(owned(id), (endpoint) => (isActive(endpoint) ? Effect.succeed(endpoint) : disabledProblem))

    return handlers.handleAll({
      list: Effect.fnUntraced(function* ({ params: { id }, query: { before, limit = defaultLimit, state, type } }) {
        yield* owned(id)
        const { deliveries, next } = yield* answer(rows.page(id, { before, limit, state, type }))
        return { deliveries: deliveries.map(info), next: next ?? null }
      }),
      get: Effect.fnUntraced(function* ({ params: { event, id } }) {
        yield* owned(id)
        const found = Option.getOrUndefined(yield* answer(rows.find(id, event)))
        if (found === undefined) return yield* noDelivery
        return {
          delivery: info(found.delivery),
          attempts: found.attempts.map(({ at, head, ...attempt }) => ({
            ...attempt,
            at: DateTime.fromDateUnsafe(at),
            response: head
          })),
          payload: found.body
        }
      }),
      replay: Effect.fnUntraced(function* ({ params: { event, id } }) {
        yield* active(id)
        if (yield* answer(rows.replay(id, event))) return
        if (Option.isNone(yield* answer(rows.find(id, event)))) return yield* noDelivery
        return yield* erased
      }),
      replayRange: Effect.fnUntraced(function* ({ params: { id }, payload }) {
        const { dry_run: isDry = false, from, states = ["dead"], to } = payload
        yield* active(id)
        const range = { from: DateTime.toEpochMillis(from), to: DateTime.toEpochMillis(to), states }
        const count = yield* answer(rows.countRange(id, range))
        const deliveries = isDry ? Math.min(count, maxReplayed) : yield* answer(rows.replayRange(id, range))
        return { deliveries, is_complete: count <= maxReplayed, dry_run: isDry }
      }),
      health: Effect.fnUntraced(function* ({ params: { id } }) {
        const endpoint = yield* owned(id)
        const { delivered, ended, failingSince, failures, nextAt, p50, p95, pending } = yield* answer(rows.health(id))
        return {
          state: stateOf(endpoint, failures),
          success_rate: ended === 0 ? null : delivered / ended,
          p50_millis: p50,
          p95_millis: p95,
          pending,
          next_attempt_at: timeOf(nextAt),
          failures,
          failing_since: timeOf(failingSince)
        }
      }),
      worst: Effect.fnUntraced(function* () {
        yield* requireScope("admin")
        const worst = yield* answer(endpoints.worst)
        return {
          webhooks: worst.map(({ endpoint, failingSince, failures, overdueSeconds }) => ({
            id: endpoint.id,
            uid: endpoint.uid ?? null,
            url: endpoint.url,
            failures,
            failing_since: timeOf(failingSince),
            overdue_seconds: overdueSeconds,
            disabled_at: timeOf(endpoint.disabled?.at),
            disabled_reason: endpoint.disabled?.reason ?? null
          }))
        }
      })
    })
  })
)

export const layer = HttpApiBuilder.layer(DeliveriesApi).pipe(Layer.provide(group))
