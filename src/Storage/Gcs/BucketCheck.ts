/** Checks the bucket at startup. A bucket that cannot be used is an error of one line; an unreachable one is only a warning. */
import { Effect, Option, Schema } from "effect"
import { StorageRefused } from "../../Storage.ts"
import * as Bucket from "./Bucket.ts"
import type { GcsFault } from "./Fault.ts"

const needed = [
  "storage.objects.create",
  "storage.objects.delete",
  "storage.objects.get",
  "storage.objects.list",
  "storage.objects.update"
]

const Permissions = Schema.fromJsonString(
  Schema.Struct({ permissions: Schema.optionalKey(Schema.Array(Schema.String)) })
)

const hint =
  "see SPILLWAY_GCS_KEY_FILE, or https://cloud.google.com/docs/authentication/application-default-credentials"

const grant = (account = "this server's account") =>
  `give ${account} the role Storage Object Admin (roles/storage.objectAdmin) on the bucket`

const reasonOf = (bucket: string, { reason, status }: GcsFault, account: string | undefined): string => {
  if (status === undefined) return `no usable Google credentials: ${reason} (${hint})`
  if (status === 401) return `Google does not accept the credentials: ${reason} (${hint})`
  if (status === 403) return `the credentials have no permission for the bucket: ${reason}; ${grant(account)}`
  if (status === 404) return `there is no bucket ${bucket} (SPILLWAY_BUCKET)`
  return `${reason} (${status})`
}

export function refusal(bucket: string, fault: GcsFault, account?: string) {
  return new StorageRefused({ operation: "open", bucket, key: "", reason: reasonOf(bucket, fault, account) })
}

const isUnresolved = (reason: string): boolean => /\b(ENOTFOUND|EAI_AGAIN)\b/.test(reason)

const unreachable = ({ config, name }: Bucket.Bucket, { message }: GcsFault): string => {
  const where = Option.match(config.endpoint, { onNone: () => "", onSome: (endpoint) => ` at ${endpoint}` })
  const doubt = where !== "" && isUnresolved(message) ? "; is SPILLWAY_GCS_ENDPOINT right?" : ""
  return `bucket "${name}"${where} can't be reached now (${message})${doubt}; audio waits in the journal`
}

/** The missing permissions. Empty when the store does not answer the question, as some emulators do not. */
const missing = (bucket: Bucket.Bucket) => {
  const query = needed.map((permission) => `permissions=${permission}`).join("&")
  return bucket.http.text({ method: "GET", path: `/storage/v1/b/${bucket.name}/iam/testPermissions?${query}` }).pipe(
    Effect.flatMap(Schema.decodeEffect(Permissions)),
    Effect.map(({ permissions }) => needed.filter((permission) => !(permissions ?? []).includes(permission))),
    Effect.orElseSucceed((): ReadonlyArray<string> => [])
  )
}

/** One attempt. */
export const check = Effect.fnUntraced(function* (bucket: Bucket.Bucket, account: string | undefined) {
  const reachable = bucket.http.text({ method: "GET", path: `${Bucket.objects(bucket)}?maxResults=1&fields=kind` })
  const isReachable = yield* reachable.pipe(
    Effect.as(true),
    Effect.catchTag("GcsFault", (fault) =>
      fault.isTransient
        ? Effect.as(Effect.logWarning(unreachable(bucket, fault)), false)
        : refusal(bucket.name, fault, account)
    )
  )
  const lacking = isReachable ? yield* missing(bucket) : []
  if (lacking.length > 0) {
    const reason = `the credentials lack ${lacking.join(", ")} for the bucket; ${grant(account)}`
    return yield* new StorageRefused({ operation: "open", bucket: bucket.name, key: "", reason })
  }
})
