/** Circuit breakers of endpoints on this node, shared by everything that is sent to them. */
import { Context, Duration, Exit, Layer } from "effect"
import { CircuitBreaker } from "effect/persistence"
import * as BreakerStore from "./BreakerStore.ts"
import { type Response, SendFailed } from "./WebhookClient.ts"

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

  /** A response of 5xx, 408 or 429 is a failure, as no response is. What was not sent is neither. */
  static readonly classify = (exit: Exit.Exit<Response, unknown>): CircuitBreaker.Outcome => {
    if (Exit.isFailure(exit)) {
      const isSent = exit.cause.reasons.some((reason) => reason._tag === "Fail" && reason.error instanceof SendFailed)
      return isSent ? CircuitBreaker.failure() : CircuitBreaker.ignored
    }
    const { status } = exit.value
    return status >= 500 || status === 408 || status === 429 ? CircuitBreaker.failure() : CircuitBreaker.success
  }
}
