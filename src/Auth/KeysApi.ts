/** The contract of `/v1/keys`, for keys with the scope `admin`. */
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { Id } from "../Id.ts"
import { Instant } from "../Instant.ts"
import { Authorization } from "./Authorization.ts"
import { Scope } from "./Principal.ts"
import { Problem, strict } from "../Http.ts"

const fields = {
  id: Schema.String,
  uid: Schema.String,
  scopes: Schema.Array(Scope),
  expires_at: Schema.NullOr(Schema.DateTimeUtcFromString)
}

export const KeyInfo = Schema.Struct({ ...fields, created_at: Schema.DateTimeUtcFromString }).annotate({
  identifier: "Key"
})

/** `key` is returned only here. */
export const NewKey = Schema.Struct({ ...fields, key: Schema.String }).annotate({ identifier: "NewKey" })

export const KeyRequest = Schema.Struct({
  uid: Id,
  scopes: Schema.optionalKey(Schema.Array(Scope)),
  expires_at: Schema.optionalKey(Schema.NullOr(Instant))
}).annotate({ identifier: "KeyRequest" })

export class KeysGroup extends HttpApiGroup.make("keys")
  .add(
    HttpApiEndpoint.get("list", "/", {
      success: Schema.Struct({ keys: Schema.Array(KeyInfo) })
    }).annotate(OpenApi.Summary, "Keys that are neither revoked nor expired, newest first"),
    HttpApiEndpoint.post("create", "/", {
      payload: KeyRequest,
      success: NewKey.pipe(HttpApiSchema.status(201)),
      error: Problem.documented(409, 413)
    }).annotate(OpenApi.Summary, "Create a key; only this response contains it"),
    HttpApiEndpoint.delete("revoke", "/:id", {
      params: { id: Schema.String },
      error: Problem.documented(404)
    }).annotate(OpenApi.Summary, "Revoke a key, at once")
  )
  .middleware(Authorization)
  .prefix("/v1/keys")
  .annotateMerge(strict)
  .annotate(OpenApi.Description, "Access keys. Needs a key with the scope `admin`.") {}

export class KeysApi extends HttpApi.make("spillway-keys").add(KeysGroup) {}
