/** The endpoint of a request, if its caller may manage it. */
import { Effect, Option } from "effect"
import { Principal } from "../../Auth.ts"
import { Problem } from "../../Http.ts"
import type { Endpoint } from "./Endpoint.ts"
import type { EndpointRows, Owner } from "./EndpointRows.ts"

/** Also for an endpoint of another user. */
export const notFound = Problem.notFound("There is no webhook with this id.")

export const disabledProblem = Problem.conflict(
  "webhook-disabled",
  "The webhook is disabled",
  "Enable it first: nothing is sent to a webhook that is disabled."
)

export function isActive({ disabled, isEnabled }: Endpoint): boolean {
  return isEnabled && disabled === undefined
}

export const owner: Effect.Effect<Owner, never, Principal> = Effect.map(Principal, ({ scopes, uid }) => ({
  uid,
  isAdmin: scopes.includes("admin")
}))

/** Fails with 404 unless the caller may manage the endpoint. */
export const ownedEndpoint = Effect.fnUntraced(function* (rows: EndpointRows["Service"], id: string) {
  const found = yield* rows.find(yield* owner, id)
  return yield* Option.match(found, { onNone: () => Effect.fail(notFound), onSome: Effect.succeed })
})
