/** Pages of a listing. The store begins at a name, not after it, and tells of a next page that may be empty. */
import { Effect } from "effect"
import type { ObjectHead } from "../../Storage.ts"
import * as Gcs from "./Gcs.ts"
import { translate } from "./Fault.ts"
import * as GcsObject from "./Object.ts"
import * as GcsPolicy from "./Policy.ts"
import * as Rules from "../Rules.ts"

const fields = `nextPageToken,items(${GcsObject.fields})`

const page = (gcs: Gcs.Gcs, query: Readonly<Record<string, string>>) => {
  const path = `${Gcs.objects(gcs)}?${new URLSearchParams({ ...query, fields, projection: "noAcl" }).toString()}`
  return Effect.flatMap(gcs.http.text({ method: "GET", path }), GcsObject.page)
}

const pages = Effect.fnUntraced(function* (gcs: Gcs.Gcs, prefix: string, after: string, limit: number) {
  const found: Array<ObjectHead> = []
  let token: string | undefined = ""
  while (token !== undefined && found.length <= limit) {
    // One for what comes first and is not wanted, and one to know whether there are more.
    const maxResults = Math.min(Rules.pageSize, limit + 2 - found.length)
    const query = { prefix, startOffset: after, maxResults: String(maxResults), pageToken: token }
    const given = Object.entries(query).filter(([, text]) => text !== "")
    const part: Effect.Success<ReturnType<typeof page>> = yield* page(gcs, Object.fromEntries(given))
    for (const head of part.heads) if (head.key !== after) found.push(head)
    token = part.nextPageToken
  }
  return found
})

/** At most `limit` heads of keys after `after`, and where the next page begins. */
export const list = Effect.fnUntraced(function* (
  gcs: Gcs.Gcs,
  at: Rules.At,
  options: { readonly after?: string; readonly limit?: number } | undefined
) {
  yield* Rules.prefix(at)
  const limit = Rules.limit(options?.limit)
  // One policy for all of its pages: a store might say for ever that there are more.
  const all = GcsPolicy.retry(gcs.config, pages(gcs, at.key, options?.after ?? "", limit))
  const found = yield* Effect.mapError(all, translate(at))
  const objects = found.slice(0, limit)
  return { objects, next: found.length > limit ? objects.at(-1)?.key : undefined }
})
