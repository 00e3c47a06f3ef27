/** Runs the program until a signal stops it. A failed start prints one line for each error and exits with code 1. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Cause, Console, Effect, Exit, Layer } from "effect"

const lineOf = (error: unknown): string =>
  error instanceof Error && error.message !== "" ? error.message : String(error)

/** Prints the messages of typed failures; a defect is printed in full. */
const report = (cause: Cause.Cause<unknown>) =>
  Cause.hasDies(cause)
    ? Console.error(Cause.pretty(cause))
    : Effect.forEach(
        cause.reasons.filter((reason) => reason._tag === "Fail"),
        (reason) => Console.error(`spillway: ${lineOf(reason.error)}`),
        { discard: true }
      )

/** SIGTERM and SIGINT close the layer's scope and exit with code 0. */
export function launch<E>(program: Layer.Layer<never, E>): void {
  return Layer.launch(program).pipe(
    Effect.tapCause((cause) => (Cause.hasInterruptsOnly(cause) ? Effect.void : report(cause))),
    NodeRuntime.runMain({
      disableErrorReporting: true,
      teardown: (exit, onExit) => onExit(Exit.isSuccess(exit) || Exit.hasInterrupts(exit) ? 0 : 1)
    })
  )
}
