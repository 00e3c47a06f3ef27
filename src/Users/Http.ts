/** `/v1/users/{uid}/settings`. */
import { Effect, Layer, Option } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { authorizeFor } from "../Auth.ts"
import { ProblemRules } from "../Http.ts"
import { Users } from "../Users.ts"
import { UsersApi } from "./Api.ts"

const group = HttpApiBuilder.group(
  UsersApi,
  "users",
  Effect.fn(function* (handlers) {
    const users = yield* Users
    const { answer } = yield* ProblemRules
    const settingsOf = (uid: string) =>
      Effect.map(answer(users.settings(uid)), ({ retentionDays }) => ({
        retention_days: Option.getOrNull(retentionDays)
      }))
    return handlers.handleAll({
      settings: Effect.fnUntraced(function* ({ params: { uid } }) {
        yield* authorizeFor(uid)
        return yield* settingsOf(uid)
      }),
      putSettings: Effect.fnUntraced(function* ({ params: { uid }, payload }) {
        yield* authorizeFor(uid)
        yield* answer(users.putSettings(uid, { retentionDays: Option.fromNullishOr(payload.retention_days) }))
        return yield* settingsOf(uid)
      })
    })
  })
)

export const layer = HttpApiBuilder.layer(UsersApi).pipe(Layer.provide(group), Layer.provide(Users.layer))
