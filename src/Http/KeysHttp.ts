/** `/v1/keys` over HTTP. */
import { Effect, Layer, Option, Redacted } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Keys, TooManyKeys } from "./Keys.ts"
import { KeysApi } from "./KeysApi.ts"
import { requireScope } from "./Principal.ts"
import { Problem } from "./Problem.ts"
import { Problems, rule } from "./Problems.ts"

const group = HttpApiBuilder.group(
  KeysApi,
  "keys",
  Effect.fn(function* (handlers) {
    const keys = yield* Keys
    const { answer } = yield* Problems
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
        if (!(yield* answer(keys.revoke(params.id)))) return yield* Problem.notFound("There is no key of this id.")
      })
    })
  })
)

const rules = Problems.rules(
  rule(TooManyKeys, ({ maxKeys }) =>
    Problem.conflict("too-many-keys", "There are as many keys as allowed", `Revoke some: ${maxKeys} is the bound.`)
  )
)

export const layer = HttpApiBuilder.layer(KeysApi).pipe(Layer.provide(group), Layer.merge(rules))
