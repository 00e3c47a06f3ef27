/** Whether a person looks on: standard output is a terminal, not a file or a log collector. */
import { Context } from "effect"

export const Attended = Context.Reference<boolean>("spillway/Telemetry/Attended", {
  defaultValue: () => process.stdout.isTTY === true
})
