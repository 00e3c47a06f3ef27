/** Whether this node should get traffic: named checks that modules register, and the drain at shutdown. */
import { Cause, Context, Effect, Latch, Layer, Option } from "effect"
import { ReadinessConfig } from "./ReadinessConfig.ts"

/** `reason` says what is wrong, for an operator. */
export interface Failing {
  readonly name: string
  readonly reason: string
}

export class Readiness extends Context.Service<
  Readiness,
  {
    /** The check fails or takes longer than `checkTimeout` while the node can't serve. */
    add(name: string, check: Effect.Effect<unknown, unknown>): Effect.Effect<void>
    /** What fails now; empty when the node is ready. `drain` is always first. */
    readonly failing: Effect.Effect<ReadonlyArray<Failing>>
    /** From now on the node is not ready, whatever the checks say. */
    readonly drain: Effect.Effect<void>
    /** Waits until the drain begins: long-lived responses and sockets end then. */
    readonly draining: Effect.Effect<void>
  }
>()("spillway/Http/Readiness") {
  static readonly layer = Layer.effect(
    Readiness,
    Effect.gen(function* () {
      const config = yield* ReadinessConfig
      const checks = new Map<string, Effect.Effect<unknown, unknown>>()
      const drained = yield* Latch.make()

      const one = ([name, check]: [string, Effect.Effect<unknown, unknown>]) =>
        check.pipe(
          Effect.timeoutOrElse({ duration: config.checkTimeout, orElse: () => Effect.fail("It takes too long.") }),
          Effect.as(Option.none<Failing>()),
          Effect.catchCause((cause) => Effect.succeedSome({ name, reason: reasonOf(cause) }))
        )

      return Readiness.of({
        add: (name, check) => Effect.sync(() => void checks.set(name, check)),
        failing: Effect.gen(function* () {
          if (drained.isOpen()) return [{ name: "drain", reason: "The node is stopping." }]
          const found = yield* Effect.forEach(checks, one, { concurrency: "unbounded" })
          return found.flatMap(Option.toArray)
        }),
        drain: drained.open,
        draining: drained.await
      })
    })
  )

  /** To be built last, so that it ends first: stopping the program begins with the drain. */
  static readonly layerDrain = Layer.effectDiscard(
    Effect.flatMap(Readiness, ({ drain }) => Effect.addFinalizer(() => drain))
  )
}

const reasonOf = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  if (typeof error === "string") return error
  return error instanceof Error && error.message !== "" ? error.message : "The check failed."
}
