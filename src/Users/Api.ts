/** The contract of `/v1/users/{uid}/settings` and `/v1/users/private-cloud-sync`. */
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { Authorization } from "../Auth.ts"
import { Level } from "../Encryption.ts"
import { Problem, strict } from "../Http.ts"
import { Id } from "../Id.ts"

/** A hundred years. */
const maxRetentionDays = 36_500

/**
 * Null: as the server's settings say. `retention_days`: conversations are deleted this many days after their end; 0 never.
 * A change keeps what it leaves out.
 */
const UserSettings = Schema.Struct({
  store_audio: Schema.NullOr(Schema.Boolean),
  protection: Schema.NullOr(Level),
  retention_days: Schema.NullOr(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: maxRetentionDays })))
}).annotate({ identifier: "UserSettings" })

export const Changes = Schema.Struct({
  store_audio: Schema.optionalKey(UserSettings.fields.store_audio),
  protection: Schema.optionalKey(UserSettings.fields.protection),
  retention_days: Schema.optionalKey(UserSettings.fields.retention_days)
}).annotate({ identifier: "UserSettingsChanges" })

const params = { uid: Id }
const uid = Schema.optionalKey(Id)

/** The path and the form of omi's app. */
const cloudSync = "/v1/users/private-cloud-sync"

/** For clients that have a key, and don't know its user. */
const own = "/v1/users/settings"

export class UsersGroup extends HttpApiGroup.make("users")
  .add(
    HttpApiEndpoint.get("settings", "/v1/users/:uid/settings", { params, success: UserSettings }).annotate(
      OpenApi.Summary,
      "The settings of a user"
    ),
    HttpApiEndpoint.put("putSettings", "/v1/users/:uid/settings", {
      params,
      payload: Changes,
      success: UserSettings,
      error: Problem.documented(409)
    }).annotate(OpenApi.Summary, "Change the settings of a user"),
    HttpApiEndpoint.get("ownSettings", own, { query: { uid }, success: UserSettings }).annotate(
      OpenApi.Summary,
      "The settings of the key's user"
    ),
    HttpApiEndpoint.put("putOwnSettings", own, {
      query: { uid },
      payload: Changes,
      success: UserSettings,
      error: Problem.documented(409)
    }).annotate(OpenApi.Summary, "Change the settings of the key's user"),
    HttpApiEndpoint.get("cloudSync", cloudSync, {
      query: { uid },
      success: Schema.Struct({ private_cloud_sync_enabled: Schema.Boolean })
    }).annotate(OpenApi.Summary, "Whether the audio of the user is stored"),
    HttpApiEndpoint.post("setCloudSync", cloudSync, {
      query: { uid, value: Schema.Literals(["true", "false"]) },
      success: Schema.Struct({ status: Schema.Literal("ok") })
    }).annotate(OpenApi.Summary, "Store the audio of the user, or don't")
  )
  .middleware(Authorization)
  .annotateMerge(strict)
  .annotate(OpenApi.Description, "Settings of the user, or of any user for keys with a scope.") {}

export class UsersApi extends HttpApi.make("spillway-users").add(UsersGroup) {}
