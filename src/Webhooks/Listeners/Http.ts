/** `/v1/webhook-listeners`: listeners, whose requests for events wait. */
import { Clock, Duration, Effect, Layer, Redacted } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Principal, requireScope } from "../../Auth.ts"
import { Problem, ProblemRules } from "../../Http.ts"
import { Readiness } from "../../Readiness.ts"
import { EndpointRows } from "../Endpoints/EndpointRows.ts"
import * as EventTypes from "../Endpoints/EventTypes.ts"
import { allTypes } from "../Endpoints/Endpoint.ts"
import { owner } from "../Endpoints/OwnedEndpoint.ts"
import { ListenersApi } from "./Api.ts"
import { type Fetched, ListenerRows } from "./ListenerRows.ts"

/** Longest wait of a request for events. */
const waitLimit = Duration.seconds(20)

/** Interval at which a waiting request queries for events. */
const pollEvery = Duration.millis(500)

/** Requests that wait on this node. One more is answered at once. */
const maxWaiting = 200

const notFound = Problem.notFound("There is no listener with this id: it is removed 5 minutes after its last request.")

const group = HttpApiBuilder.group(
  ListenersApi,
  "listeners",
  Effect.fn(function* (handlers) {
    const endpoints = yield* EndpointRows
    const rows = yield* ListenerRows
    const clock = yield* Clock.Clock
    const { answer } = yield* ProblemRules
    const { draining } = yield* Readiness
    let waiting = 0

    return handlers.handleAll({
      create: Effect.fnUntraced(function* ({ payload }) {
        const { global = false, types = allTypes } = payload ?? {}
        if (global) yield* requireScope("admin")
        const { uid } = yield* Principal
        const fields = {
          url: "",
          types: yield* EventTypes.check(types),
          description: "",
          isEnabled: true,
          audioSeconds: undefined,
          rate: undefined,
          headers: {}
        }
        const made = yield* answer(endpoints.create(global ? undefined : uid, fields, "v1", "listener"))
        return { id: made.endpoint.id, secret: Redacted.value(made.secret) }
      }),
      poll: Effect.fnUntraced(function* ({ params: { id }, payload: { received } }) {
        const by = yield* owner
        if (!(yield* answer(rows.acknowledge(by, id, received)))) return yield* notFound
        const until = clock.currentTimeMillisUnsafe() + Duration.toMillis(waitLimit)
        const isOver = (events: ReadonlyArray<Fetched>) =>
          events.length > 0 || waiting > maxWaiting || clock.currentTimeMillisUnsafe() >= until
        const fetch = answer(rows.fetch(by, id))
        const wait = Effect.flatMap(fetch, (events) =>
          isOver(events) ? Effect.succeed(events) : Effect.repeat(Effect.delay(fetch, pollEvery), { until: isOver })
        )
        waiting++
        const events = yield* Effect.raceFirst(wait, Effect.as(draining, [])).pipe(
          Effect.ensuring(Effect.sync(() => waiting--))
        )
        return { events }
      }),
      remove: Effect.fnUntraced(function* ({ params: { id } }) {
        if (!(yield* answer(rows.remove(yield* owner, id)))) return yield* notFound
      })
    })
  })
)

export const layer = HttpApiBuilder.layer(ListenersApi).pipe(Layer.provide(group))
