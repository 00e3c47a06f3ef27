/** `/v1/users/{uid}/settings` and `/v1/users/private-cloud-sync`. */
import { Effect, Layer, Option } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { authorizeFor, Principal } from "../Auth.ts"
import { Protection } from "../Encryption.ts"
import { Problem, ProblemRules } from "../Http.ts"
import { Users } from "../Users.ts"
import { type Changes, UsersApi } from "./Api.ts"
import { UsersConfig } from "./UsersConfig.ts"

const noSecret = () =>
  Problem.conflict(
    "no-master-secret",
    "Audio can't be encrypted",
    "The server has no secret to encrypt with: its operator sets SPILLWAY_MASTER_SECRETS."
  )

const group = HttpApiBuilder.group(
  UsersApi,
  "users",
  Effect.fn(function* (handlers) {
    const users = yield* Users
    const { isAvailable } = yield* Protection
    const { storeAudio } = yield* UsersConfig
    const { answer } = yield* ProblemRules
    const settingsOf = (uid: string) =>
      Effect.map(answer(users.settings(uid)), (settings) => ({
        store_audio: Option.getOrNull(settings.storeAudio),
        protection: Option.getOrNull(settings.protection),
        retention_days: Option.getOrNull(settings.retentionDays)
      }))
    const change = Effect.fnUntraced(function* (uid: string, payload: typeof Changes.Type) {
      const { protection, retention_days: days, store_audio: store } = payload
      if (protection === "enhanced" && !isAvailable) return yield* noSecret()
      const changes = {
        ...(store === undefined ? {} : { storeAudio: Option.fromNullishOr(store) }),
        ...(protection === undefined ? {} : { protection: Option.fromNullishOr(protection) }),
        ...(days === undefined ? {} : { retentionDays: Option.fromNullishOr(days) })
      }
      yield* answer(users.putSettings(uid, changes))
      return yield* settingsOf(uid)
    })
    return handlers.handleAll({
      ownSettings: () => Effect.flatMap(Principal, ({ uid }) => settingsOf(uid)),
      putOwnSettings: ({ payload }) => Effect.flatMap(Principal, ({ uid }) => change(uid, payload)),
      settings: Effect.fnUntraced(function* ({ params: { uid } }) {
        yield* authorizeFor(uid)
        return yield* settingsOf(uid)
      }),
      putSettings: Effect.fnUntraced(function* ({ params: { uid }, payload }) {
        yield* authorizeFor(uid)
        return yield* change(uid, payload)
      }),
      cloudSync: Effect.fnUntraced(function* () {
        const { uid } = yield* Principal
        const { storeAudio: own } = yield* answer(users.settings(uid))
        return { private_cloud_sync_enabled: Option.getOrElse(own, () => storeAudio === "yes") }
      }),
      setCloudSync: Effect.fnUntraced(function* ({ query: { value } }) {
        const { uid } = yield* Principal
        yield* answer(users.putSettings(uid, { storeAudio: Option.some(value === "true") }))
        return { status: "ok" as const }
      })
    })
  })
)

export const layer = HttpApiBuilder.layer(UsersApi).pipe(Layer.provide(group), Layer.provide(Users.layer))
