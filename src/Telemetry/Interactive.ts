/** Whether standard output is a terminal, not a file or a log collector. */
import { Context } from "effect"

export const Interactive = Context.Reference<boolean>("spillway/Telemetry/Interactive", {
  defaultValue: () => process.stdout.isTTY === true
})
