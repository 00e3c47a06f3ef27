/** The types of events that an endpoint receives. */
import { Effect } from "effect"
import * as Events from "../../Events.ts"
import { Problem } from "../../Http.ts"
import { allTypes } from "./Endpoint.ts"

export function names(): ReadonlyArray<string> {
  return Events.definitions().map(({ name }) => name)
}

/** Without repetitions; fails with 422 if there is no such type. */
export function check(types: ReadonlyArray<string>) {
  const known = new Set([...names(), ...allTypes])
  const errors = types.flatMap((type, index) =>
    known.has(type) ? [] : [{ path: ["body", "types", index], message: `There is no type \`${type}\`` }]
  )
  if (errors.length === 0) return Effect.succeed(types.includes("*") ? allTypes : [...new Set(types)])
  const list = names().join(", ")
  return Effect.fail(
    Problem.unprocessable(
      "unknown-event-type",
      "There is no such type of events",
      `The types are ${list}, or * for all.`,
      errors
    )
  )
}
