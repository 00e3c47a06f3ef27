/** Runs the program until it is told to stop: what keeps it from starting is one clear line and exit code 1. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Cause, Console, Effect, Exit, Layer } from "effect"

const lineOf = (error: unknown): string =>
  error instanceof Error && error.message !== "" ? error.message : String(error)

/** The messages of typed failures; anything else is a bug, and is shown in full. */
const report = (cause: Cause.Cause<unknown>) =>
  Cause.hasDies(cause)
    ? Console.error(Cause.pretty(cause))
    : Effect.forEach(
        cause.reasons.filter((reason) => reason._tag === "Fail"),
        (reason) => Console.error(`spillway: ${lineOf(reason.error)}`),
        { discard: true }
      )

/** SIGTERM and SIGINT close the layer's scope and end with exit code 0. */
export function launch<E>(program: Layer.Layer<never, E>): void {
  return Layer.launch(program).pipe(
    Effect.tapCause((cause) => (Cause.hasInterruptsOnly(cause) ? Effect.void : report(cause))),
    NodeRuntime.runMain({
      disableErrorReporting: true,
      teardown: (exit, onExit) => onExit(Exit.isSuccess(exit) || Exit.hasInterrupts(exit) ? 0 : 1)
    })
  )
}
