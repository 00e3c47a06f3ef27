/**
 * The states of circuit breakers, for those that trip after failures in a row. `CircuitBreaker.layerStoreMemory` of Effect
 * (4.1) has no bound on the number of keys, and keeps a breaker for ever whose probe never ended.
 */
import { Clock, Duration, Effect, Layer } from "effect"
import { CircuitBreaker } from "effect/persistence"
import { BoundedMap } from "../BoundedMap.ts"

/** Breakers. One more forgets the one that was used longest ago: its next call is admitted. */
export const maxBreakers = 10_000

/** After this time without a call a breaker is forgotten, whatever its state. */
const idleLimit = Duration.hours(1)

interface Breaker {
  readonly key: string
  usedAt: number
  /** Changes with the state: the outcome of a call that was admitted before says nothing about the new state. */
  generation: number
  state: "Closed" | "Open" | "HalfOpen"
  failures: number
  openUntil: number
  openings: number
  isProbing: boolean
}

const rejection = (reason: CircuitBreaker.CircuitBreakerErrorReason) =>
  Effect.fail(new CircuitBreaker.CircuitBreakerError({ reason }))

/** The times are monotonic milliseconds. */
export class BreakerStates {
  readonly #breakers: BoundedMap<Breaker>
  #generations = 0

  constructor(bound = maxBreakers) {
    this.#breakers = new BoundedMap(bound)
  }

  get size(): number {
    return this.#breakers.size
  }

  admit(key: string, now: number): Effect.Effect<CircuitBreaker.Admission, CircuitBreaker.CircuitBreakerError> {
    const breaker = this.#use(key, now)
    if (breaker.state === "Open" && now < breaker.openUntil) {
      const retryAfter = Duration.millis(breaker.openUntil - now)
      return rejection(new CircuitBreaker.CircuitOpen({ key, retryAfter }))
    }
    if (breaker.isProbing) return rejection(new CircuitBreaker.CircuitHalfOpen({ key }))
    const transition = breaker.state === "Open" ? ({ key, from: "Open", to: "HalfOpen" } as const) : undefined
    const probe = breaker.state !== "Closed"
    if (probe) {
      this.#enter(breaker, "HalfOpen")
      breaker.isProbing = true
    }
    return Effect.succeed({ generation: breaker.generation, probe, consecutiveOpenings: breaker.openings, transition })
  }

  record(
    { generation, key, openFor, outcome, tripPolicy }: Outcome,
    now: number
  ): CircuitBreaker.Transition | undefined {
    const breaker = this.#breakers.get(key)
    if (breaker === undefined || breaker.generation !== generation) return undefined
    const wasProbe = breaker.state === "HalfOpen"
    breaker.isProbing = false
    if (outcome === "Ignored") return undefined
    if (outcome === "Success") {
      breaker.failures = 0
      if (!wasProbe) return undefined
      breaker.openings = 0
      this.#enter(breaker, "Closed")
      return { key, from: "HalfOpen", to: "Closed" }
    }
    breaker.failures++
    if (!wasProbe && tripPolicy._tag === "Consecutive" && breaker.failures < tripPolicy.failures) return undefined
    this.#enter(breaker, "Open")
    breaker.failures = 0
    breaker.openings++
    breaker.openUntil = now + Duration.toMillis(openFor)
    const from = wasProbe ? "HalfOpen" : "Closed"
    return { key, from, to: "Open", retryAfter: openFor, consecutiveOpenings: breaker.openings }
  }

  state(key: string, now: number): CircuitBreaker.State {
    const breaker = this.#breakers.get(key)
    if (breaker === undefined || breaker.state === "Closed") return { _tag: "Closed", key }
    const { isProbing: probing, openings: consecutiveOpenings } = breaker
    if (breaker.state === "HalfOpen") return { _tag: "HalfOpen", key, probing, consecutiveOpenings }
    return { _tag: "Open", key, retryAfter: Duration.millis(Math.max(0, breaker.openUntil - now)), consecutiveOpenings }
  }

  #use(key: string, now: number): Breaker {
    for (const { key: oldest, usedAt } of this.#breakers.values) {
      if (now - usedAt < Duration.toMillis(idleLimit)) break
      this.#breakers.delete(oldest)
    }
    const breaker = this.#breakers.get(key) ?? {
      key,
      usedAt: now,
      generation: ++this.#generations,
      state: "Closed",
      failures: 0,
      openUntil: 0,
      openings: 0,
      isProbing: false
    }
    breaker.usedAt = now
    this.#breakers.set(key, breaker)
    return breaker
  }

  #enter(breaker: Breaker, state: Breaker["state"]): void {
    breaker.state = state
    breaker.generation = ++this.#generations
  }
}

type Outcome = Parameters<CircuitBreaker.CircuitBreakerStore["Service"]["record"]>[0]

export const layer = Layer.effect(
  CircuitBreaker.CircuitBreakerStore,
  Effect.gen(function* () {
    const clock = yield* Clock.Clock
    const states = new BreakerStates()
    const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
    return CircuitBreaker.CircuitBreakerStore.of({
      admit: (key) => Effect.suspend(() => states.admit(key, now())),
      record: (outcome) => Effect.sync(() => states.record(outcome, now())),
      state: (key) => Effect.sync(() => states.state(key, now()))
    })
  })
)
