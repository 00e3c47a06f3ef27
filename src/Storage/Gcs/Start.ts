/** What keeps the store from being used is said at the start, in one line. That it can't be reached now keeps nobody from starting. */
import { Effect, Option, Schema } from "effect"
import { StorageRefused } from "../../Storage.ts"
import * as Gcs from "./Gcs.ts"
import type { GcsFault } from "./Fault.ts"

/** What the server does with objects. */
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

/** What an operator does about missing permissions. */
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

/** Names that nobody knows, or not now. */
const isUnresolved = (reason: string): boolean => /\b(ENOTFOUND|EAI_AGAIN)\b/.test(reason)

const unreachable = ({ bucket, config }: Gcs.Gcs, { message }: GcsFault): string => {
  const where = Option.match(config.endpoint, { onNone: () => "", onSome: (endpoint) => ` at ${endpoint}` })
  const doubt = where !== "" && isUnresolved(message) ? "; is SPILLWAY_GCS_ENDPOINT right?" : ""
  return `bucket "${bucket}"${where} can't be reached now (${message})${doubt}; audio waits in the journal`
}

/** The permissions that are missing, as far as the store tells: an emulator may not. */
const missing = (gcs: Gcs.Gcs) => {
  const query = needed.map((permission) => `permissions=${permission}`).join("&")
  return gcs.http.text({ method: "GET", path: `/storage/v1/b/${gcs.bucket}/iam/testPermissions?${query}` }).pipe(
    Effect.flatMap(Schema.decodeEffect(Permissions)),
    Effect.map(({ permissions }) => needed.filter((permission) => !(permissions ?? []).includes(permission))),
    Effect.orElseSucceed((): ReadonlyArray<string> => [])
  )
}

/** One attempt. */
export const check = Effect.fnUntraced(function* (gcs: Gcs.Gcs, account: string | undefined) {
  const reachable = gcs.http.text({ method: "GET", path: `${Gcs.objects(gcs)}?maxResults=1&fields=kind` })
  const isReachable = yield* reachable.pipe(
    Effect.as(true),
    Effect.catchTag("GcsFault", (fault) =>
      fault.isTransient
        ? Effect.as(Effect.logWarning(unreachable(gcs, fault)), false)
        : refusal(gcs.bucket, fault, account)
    )
  )
  const lacking = isReachable ? yield* missing(gcs) : []
  if (lacking.length > 0) {
    const reason = `the credentials lack ${lacking.join(", ")} for the bucket; ${grant(account)}`
    return yield* new StorageRefused({ operation: "open", bucket: gcs.bucket, key: "", reason })
  }
})
