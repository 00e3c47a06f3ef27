/** Whether this node should get traffic: named checks that modules register, and the drain at shutdown. */
import { Cause, Context, Effect, Latch, Layer, Schema } from "effect"
import { ReadinessConfig } from "./Readiness/ReadinessConfig.ts"

export * as Health from "./Readiness/Health.ts"

/** What a check fails with when the node does without for a while: it is told, and keeps no traffic away. */
export class Degraded extends Schema.TaggedError<Degraded>()("Degraded", { reason: Schema.String }) {
  override get message() {
    return this.reason
  }
}

/** `reason` says what is wrong, for an operator. */
export interface Failing {
  readonly name: string
  readonly reason: string
}

export interface Status {
  /** Empty when the node is ready. */
  readonly failing: ReadonlyArray<Failing>
  /** What the node does without. */
  readonly degraded: ReadonlyArray<Failing>
}

/** What every node that stops fails with. */
export const stopping: Failing = { name: "drain", reason: "The node is stopping." }

export class Readiness extends Context.Service<
  Readiness,
  {
    /** The check fails or takes longer than `checkTimeout` while the node can't serve; with `Degraded` while it can. */
    add(name: string, check: Effect.Effect<unknown, unknown>): Effect.Effect<void>
    /** Now. While the node stops, that alone. */
    readonly status: Effect.Effect<Status>
    /** From now on the node is not ready, whatever the checks say. */
    readonly drain: Effect.Effect<void>
    /** Waits until the drain begins: long-lived responses and sockets end then. */
    readonly draining: Effect.Effect<void>
  }
>()("spillway/Readiness") {
  static readonly layer = Layer.effect(
    Readiness,
    Effect.gen(function* () {
      const config = yield* ReadinessConfig
      const checks = new Map<string, Effect.Effect<unknown, unknown>>()
      const drained = yield* Latch.make()

      const one = ([name, check]: [string, Effect.Effect<unknown, unknown>]) =>
        check.pipe(
          Effect.timeoutOrElse({ duration: config.checkTimeout, orElse: () => Effect.fail("It takes too long.") }),
          Effect.as([]),
          Effect.catchCause((cause) => {
            const isDegraded = Cause.squash(cause) instanceof Degraded
            return Effect.succeed([{ name, reason: reasonOf(cause), isDegraded }])
          })
        )

      const told = ({ name, reason }: Failing): Failing => ({ name, reason })

      return Readiness.of({
        add: (name, check) => Effect.sync(() => void checks.set(name, check)),
        status: Effect.gen(function* () {
          if (drained.isOpen()) return { failing: [stopping], degraded: [] }
          const found = (yield* Effect.forEach(checks, one, { concurrency: "unbounded" })).flat()
          return {
            failing: found.filter(({ isDegraded }) => !isDegraded).map(told),
            degraded: found.filter(({ isDegraded }) => isDegraded).map(told)
          }
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
