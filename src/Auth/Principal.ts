/** The key owner that sends a request, and the user that it acts for. */
import { Context, Effect, Option, Schema } from "effect"
import { Id } from "../Id.ts"
import { Problem } from "../Http.ts"

/** `service`: may act for any user with `?uid=`. `admin`: may manage keys. Either one sees all captures. */
export const Scope = Schema.Literals(["admin", "service"])
export type Scope = typeof Scope.Type

/** What a stream key is for. `keyHash`: base64. */
export interface StreamGrant {
  readonly stream: number
  readonly keyHash: string
}

/**
 * `uid` is the user that the request acts for; `keyId` identifies the key, and is `jwt` for a JWT. `isActing`: that is not the
 * key's own user. `grant`: the key is a stream key, with which its owner captures and does nothing else.
 */
export class Principal extends Context.Service<
  Principal,
  {
    readonly uid: string
    readonly scopes: ReadonlyArray<Scope>
    readonly keyId: string
    readonly isActing?: boolean
    readonly grant?: StreamGrant
  }
>()("spillway/Auth/Principal") {}

/** Manages what all users have. A key that acts for a user with `?uid=` has the rights of that user only. */
export function isAdministrator({ isActing, scopes }: Principal["Service"]): boolean {
  return scopes.length > 0 && isActing !== true
}

/** Manages resources of users: a user its own ones, an administrator all. */
export interface Manager {
  readonly uid: string
  readonly isAdmin: boolean
}

/** The manager that a request acts as. */
export const manager: Effect.Effect<Manager, never, Principal> = Effect.map(Principal, (principal) => ({
  uid: principal.uid,
  isAdmin: isAdministrator(principal)
}))

const decodeId = Schema.decodeUnknownOption(Id)

/** The principal with the user of the query parameter `uid`. Another user requires the scope `service`. */
export function actingFor(
  principal: Principal["Service"],
  uid: string | undefined
): Effect.Effect<Principal["Service"], Problem> {
  return Effect.suspend(() => {
    if (uid === undefined || uid === principal.uid) return Effect.succeed(principal)
    if (Option.isNone(decodeId(uid))) {
      const expected = "1 to 128 characters of A-Z a-z 0-9 . _ -, not . or .."
      return Problem.badRequest("The uid is not valid.", [{ path: ["query", "uid"], message: `Expected ${expected}` }])
    }
    if (principal.scopes.includes("service")) return Effect.succeed({ ...principal, uid, isActing: true })
    return Problem.forbidden("Only a key with the scope `service` may act for another user with `?uid=`.")
  })
}

/** Fails with 403 unless the key has the scope. */
export function requireScope(scope: Scope): Effect.Effect<void, Problem, Principal> {
  return Effect.flatMap(Principal, (principal) =>
    principal.scopes.includes(scope)
      ? Effect.void
      : Problem.forbidden(`This requires a key with the scope \`${scope}\`.`)
  )
}

/** Fails with 403 unless the principal is this user, or has a scope. */
export function authorizeFor(uid: string): Effect.Effect<void, Problem, Principal> {
  return Effect.flatMap(Principal, (principal) =>
    principal.uid === uid || principal.scopes.length > 0
      ? Effect.void
      : Problem.forbidden("Another account requires a key with the scope `admin` or `service`.")
  )
}
