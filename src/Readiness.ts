/** Whether this node should get traffic: named checks that modules register, and the drain at shutdown. */
import { Cause, Context, Effect, Latch, Layer, Schema } from "effect"
import { ReadinessConfig } from "./Readiness/ReadinessConfig.ts"

/** Failure of a check that leaves the node ready: it is reported, and traffic continues. */
export class Degraded extends Schema.TaggedError<Degraded>()("Degraded", { reason: Schema.String }) {
  override get message() {
    return this.reason
  }
}

/** `reason` is for operators. */
export interface FailedCheck {
  readonly name: string
  readonly reason: string
}

export interface Status {
  /** Empty when the node is ready. */
  readonly failing: ReadonlyArray<FailedCheck>
  /** Parts that are unavailable while the node serves. */
  readonly degraded: ReadonlyArray<FailedCheck>
}

/** The only failure of a node that stops. */
export const stopping: FailedCheck = { name: "drain", reason: "The node is stopping." }

export const healthPaths = { live: "/health/live", ready: "/health/ready" } as const

export const liveBody = { status: "live" }

export function readinessBody({ degraded, failing }: Status) {
  return {
    ...(failing.length === 0 ? { status: "ready" } : { status: "unavailable", failing }),
    ...(degraded.length === 0 ? {} : { degraded })
  }
}

export class Readiness extends Context.Service<
  Readiness,
  {
    /** A check that fails, or exceeds `checkTimeout`, makes the node unready; failing with `Degraded` does not. */
    add(name: string, check: Effect.Effect<unknown, unknown>): Effect.Effect<void>
    /** Runs all checks. While the node drains, only `stopping` is reported. */
    readonly status: Effect.Effect<Status>
    /** Makes the node unready permanently. */
    readonly drain: Effect.Effect<void>
    /** Completes when the drain begins. Long-lived responses and sockets end then. */
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
          Effect.timeoutOrElse({ duration: config.checkTimeout, orElse: () => Effect.fail("The check timed out.") }),
          Effect.as([]),
          Effect.catchCause((cause) => {
            const isDegraded = Cause.squash(cause) instanceof Degraded
            return Effect.succeed([{ name, reason: reasonOf(cause), isDegraded }])
          })
        )

      const toFailedCheck = ({ name, reason }: FailedCheck): FailedCheck => ({ name, reason })

      return Readiness.of({
        add: (name, check) => Effect.sync(() => void checks.set(name, check)),
        status: Effect.gen(function* () {
          if (drained.isOpen()) return { failing: [stopping], degraded: [] }
          const found = (yield* Effect.forEach(checks, one, { concurrency: "unbounded" })).flat()
          return {
            failing: found.filter(({ isDegraded }) => !isDegraded).map(toFailedCheck),
            degraded: found.filter(({ isDegraded }) => isDegraded).map(toFailedCheck)
          }
        }),
        drain: drained.open,
        draining: drained.await
      })
    })
  )
}

const reasonOf = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  if (typeof error === "string") return error
  return error instanceof Error && error.message !== "" ? error.message : "The check failed."
}
