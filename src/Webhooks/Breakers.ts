/** Circuit breakers of endpoints on this node, shared by everything that is sent to them. */
import { Context, Duration, Layer } from "effect"
import { CircuitBreaker } from "effect/persistence"
import * as BreakerStore from "./BreakerStore.ts"

/** Failures in a row, after which nothing is sent for `openFor`; then one request is, and the others wait for its outcome. */
const failuresToOpen = 5
const openFor = Duration.seconds(30)

export class Breakers extends Context.Service<Breakers, Pick<CircuitBreaker.CircuitBreaker, "execute" | "state">>()(
  "spillway/Webhooks/Breakers"
) {
  static readonly layer = Layer.effect(
    Breakers,
    CircuitBreaker.make({ tripPolicy: CircuitBreaker.consecutive(failuresToOpen), openDuration: openFor })
  ).pipe(Layer.provide(BreakerStore.layer))
}
