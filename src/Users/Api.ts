/** The contract of `/v1/users/{uid}/settings`. */
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { Authorization } from "../Auth.ts"
import { strict } from "../Http.ts"
import { Id } from "../Id.ts"

/** A hundred years. */
const maxRetentionDays = 36_500

/** `retention_days`: conversations are deleted this many days after their end; 0 never, null as the server's settings say. */
const UserSettings = Schema.Struct({
  retention_days: Schema.NullOr(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: maxRetentionDays })))
}).annotate({ identifier: "UserSettings" })

const params = { uid: Id }

export class UsersGroup extends HttpApiGroup.make("users")
  .add(
    HttpApiEndpoint.get("settings", "/v1/users/:uid/settings", { params, success: UserSettings }).annotate(
      OpenApi.Summary,
      "The settings of a user"
    ),
    HttpApiEndpoint.put("putSettings", "/v1/users/:uid/settings", {
      params,
      payload: UserSettings,
      success: UserSettings
    }).annotate(OpenApi.Summary, "Change the settings of a user")
  )
  .middleware(Authorization)
  .annotateMerge(strict)
  .annotate(OpenApi.Description, "Settings of the user, or of any user for keys with a scope.") {}

export class UsersApi extends HttpApi.make("spillway-users").add(UsersGroup) {}
