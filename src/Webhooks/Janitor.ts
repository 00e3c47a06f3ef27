/** Sends live audio, delivers events when they are due, finds what a killed node has left, removes what is old, and samples the backlog. */
import { Duration, Effect, Layer, Metric } from "effect"
import * as BackgroundLoop from "../BackgroundLoop.ts"
import { DbCaller, ingestCaller } from "../Db.ts"
import { EndpointErasure, type Lane, Webhooks } from "../Webhooks.ts"
import * as AudioFanout from "./Audio/AudioFanout.ts"
import { Breakers } from "./Breakers.ts"
import { DeliveryRows } from "./Deliveries/DeliveryRows.ts"
import { extendEvery } from "./Deliveries/TurnRows.ts"
import { EndpointRows } from "./Endpoints/EndpointRows.ts"
import { ListenerRows } from "./Listeners/ListenerRows.ts"
import { WebhookClient } from "./WebhookClient.ts"

/** Longest wait: retries that are due and turns that other nodes leave are found by then. Also the pause after a failure. */
const pollEvery = Duration.seconds(1)

/** Events whose node was killed after their commit are found by then. */
const recoverEvery = Duration.seconds(5)

/** Between rounds that found something to remove, and others. */
const pruneAgain = Duration.millis(200)
const pruneEvery = Duration.seconds(30)

const sampleEvery = Duration.seconds(15)

const pendingGauge = Metric.gauge("spillway_webhook_pending", {
  description: "Deliveries of events that wait for an attempt, counted to 10,000"
})
const overdueGauge = Metric.gauge("spillway_webhook_overdue_seconds", {
  description: "How long the webhook that is due first has waited for its turn"
})
const endpointsGauge = Metric.gauge("spillway_webhook_endpoints", {
  description:
    "Webhooks by state: healthy, failing (with retries), disabled (after too many failures), off (by their owner)"
})

const loops = Layer.effectDiscard(
  Effect.gen(function* () {
    const { extendLeases, recover, sweep, waitForTurn, wakeAppended } = yield* Webhooks
    const deliveries = yield* DeliveryRows
    const endpoints = yield* EndpointRows
    const erasure = yield* EndpointErasure
    const listeners = yield* ListenerRows

    const failed = (what: string) => ({ failed: `${what} failed and is repeated`, retryAfter: pollEvery })
    for (const lane of ["healthy", "failing"] satisfies ReadonlyArray<Lane>) {
      const sweepAndWait = Effect.andThen(sweep(lane), waitForTurn(lane, pollEvery))
      yield* BackgroundLoop.fork(Effect.as(sweepAndWait, Duration.zero), failed("a sweep of webhooks"))
    }
    const wake = Effect.as(wakeAppended(pollEvery), Duration.zero)
    yield* BackgroundLoop.fork(wake, failed("waking the endpoints of new events"))
    yield* BackgroundLoop.every(extendEvery, extendLeases, "the leases of webhooks could not be extended")
    yield* BackgroundLoop.every(recoverEvery, recover, "the search for missed events failed")

    const prune = Effect.gen(function* () {
      yield* listeners.removeIdle
      const [isMore, erased] = yield* Effect.all([deliveries.prune, erasure.erase(undefined)])
      return isMore || erased > 0 ? pruneAgain : pruneEvery
    })
    yield* BackgroundLoop.fork(prune, { failed: "old events could not be removed", retryAfter: pruneEvery })

    const sample = Effect.gen(function* () {
      const { overdueSeconds, pending } = yield* deliveries.backlog
      yield* Metric.update(pendingGauge, pending)
      yield* Metric.update(overdueGauge, overdueSeconds)
      for (const [state, count] of Object.entries(yield* endpoints.countByState))
        yield* Metric.update(Metric.withAttributes(endpointsGauge, { state }), count)
    })
    yield* BackgroundLoop.every(sampleEvery, sample, "the backlog of webhooks could not be sampled")
  })
)

export const layer = Layer.merge(loops, AudioFanout.layer).pipe(
  Layer.provide([Webhooks.layer, DeliveryRows.layer, EndpointRows.layer, EndpointErasure.layer, ListenerRows.layer]),
  Layer.provide([Breakers.layer, WebhookClient.layer]),
  // Requests of users do not delay deliveries.
  Layer.provide(Layer.succeed(DbCaller, ingestCaller))
)
