/** `/v1/keys`. */
import { DateTime, Effect, Layer, Option, Redacted } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { adminKeyId, Keys, TooManyKeys } from "./Keys.ts"
import { KeysApi } from "./KeysApi.ts"
import { requireScope } from "./Principal.ts"
import { Problem, ProblemRules, rule } from "../Http.ts"

const group = HttpApiBuilder.group(
  KeysApi,
  "keys",
  Effect.fn(function* (handlers) {
    const keys = yield* Keys
    const { answer } = yield* ProblemRules
    const admin = requireScope("admin")
    return handlers.handleAll({
      list: () =>
        admin.pipe(
          Effect.andThen(answer(keys.list)),
          Effect.map((list) => ({
            keys: list.map(({ createdAt, expiresAt, ...key }) => ({
              ...key,
              created_at: createdAt,
              expires_at: Option.getOrNull(expiresAt)
            }))
          }))
        ),
      create: Effect.fnUntraced(function* ({ payload }) {
        yield* admin
        const expiresAt = Option.fromNullishOr(payload.expires_at)
        if (Option.isSome(expiresAt) && (yield* DateTime.isPast(expiresAt.value))) return yield* expired
        const created = yield* answer(keys.create({ uid: payload.uid, scopes: payload.scopes ?? [], expiresAt }))
        const { id, scopes, uid } = created.key
        return {
          id,
          key: Redacted.value(created.secret),
          uid,
          scopes,
          expires_at: Option.getOrNull(created.key.expiresAt)
        }
      }),
      revoke: Effect.fnUntraced(function* ({ params }) {
        yield* admin
        if (params.id === adminKeyId) return yield* keepAdmin
        if (!(yield* answer(keys.revoke(params.id)))) return yield* Problem.notFound("There is no key with this id.")
      })
    })
  })
)

const expired = Problem.badRequest("The expiry time is in the past.", [
  { path: ["body", "expires_at"], message: "Expected a time in the future" }
])

const keepAdmin = Problem.conflict(
  "admin-key",
  "The admin key can't be revoked",
  "Without it, keys can't be managed. Start the server with SPILLWAY_ADMIN_KEY to replace it."
)

const rules = ProblemRules.layerOf(
  rule(TooManyKeys, ({ maxKeys }) =>
    Problem.conflict(
      "too-many-keys",
      "The limit of keys is reached",
      `There are ${maxKeys} keys. Revoke some, or raise SPILLWAY_MAX_KEYS.`
    )
  )
)

export const layer = HttpApiBuilder.layer(KeysApi).pipe(Layer.provide(group), Layer.merge(rules))
