/** What keeps the store from being used is said at the start, in one line. That it can't be reached now keeps nobody from starting. */
import { Effect, Schema } from "effect"
import { StorageRefused } from "../Storage.ts"
import * as Gcs from "./Gcs.ts"
import type { GcsFault } from "./GcsFault.ts"

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

const reasonOf = (bucket: string, { reason, status }: GcsFault): string => {
  if (status === undefined) return `no usable Google credentials: ${reason} (${hint})`
  if (status === 401) return `Google does not accept the credentials: ${reason} (${hint})`
  if (status === 403) return `the credentials have no permission for the bucket: ${reason}`
  if (status === 404) return `there is no bucket ${bucket} (SPILLWAY_BUCKET)`
  return `${reason} (${status})`
}

export const refusal = (bucket: string, fault: GcsFault) =>
  new StorageRefused({ operation: "open", bucket, key: "", reason: reasonOf(bucket, fault) })

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
export const check = Effect.fnUntraced(function* (gcs: Gcs.Gcs) {
  const reachable = gcs.http.text({ method: "GET", path: `${Gcs.objects(gcs)}?maxResults=1&fields=kind` })
  const isReachable = yield* reachable.pipe(
    Effect.as(true),
    Effect.catchTag("GcsFault", (fault) =>
      fault.isTransient
        ? Effect.as(
            Effect.logWarning("the object store can't be reached now; audio waits in the journal", fault),
            false
          )
        : refusal(gcs.bucket, fault)
    )
  )
  const lacking = isReachable ? yield* missing(gcs) : []
  if (lacking.length > 0) {
    const reason = `the credentials lack ${lacking.join(", ")} for the bucket`
    return yield* new StorageRefused({ operation: "open", bucket: gcs.bucket, key: "", reason })
  }
})
