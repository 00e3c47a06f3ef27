/** Pages of a store's listing that also pass objects which the store can't list. */
import { Effect } from "effect"
import type { ObjectHead, Storage, StorageRefused, StorageUnavailable } from "../../Storage.ts"

export interface Page {
  readonly objects: ReadonlyArray<ObjectHead>
  /** The object after `objects` that the store refuses to list, and why. */
  readonly damaged: { readonly key: string; readonly reason: string } | undefined
  /** The `after` of the next page; none on the last one. */
  readonly next: string | undefined
}

type Failure = StorageUnavailable | StorageRefused

/** A store may refuse a page for one object. Shorter pages follow, until the object is the first, and is passed. */
export function read(
  storage: Pick<Storage["Service"], "list">,
  prefix: string,
  after: string,
  limit: number
): Effect.Effect<Page, Failure> {
  const isObject = ({ key }: StorageRefused) => key.startsWith(prefix) && key !== prefix
  return storage.list(prefix, { after, limit }).pipe(
    Effect.map(({ next, objects }): Page => ({ objects, next, damaged: undefined })),
    Effect.catchTag("StorageRefused", (refusal): Effect.Effect<Page, Failure> => {
      if (!isObject(refusal)) return Effect.fail(refusal)
      if (limit > 1) return read(storage, prefix, after, Math.floor(limit / 2))
      const { key, reason } = refusal
      return Effect.succeed({ objects: [], damaged: { key, reason }, next: key })
    })
  )
}
