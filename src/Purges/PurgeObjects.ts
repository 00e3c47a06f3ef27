/** Removes the objects of purges from the store, a page at a time. */
import { Clock, Duration, Effect, Exit, Metric, Option, Semaphore } from "effect"
import { StorageBulkheads } from "../Bulkhead.ts"
import * as Claims from "../Claims.ts"
import { Erasure } from "../Recording.ts"
import { type ObjectHead, Storage } from "../Storage.ts"
import { type ClaimedPurge, PurgeRows } from "./PurgeRows.ts"

/** Objects of all purges of this node that are removed at once. They share the permits of `storage.write` with uploads. */
const concurrency = 8

/** A removal that takes longer has failed. */
const removeTimeout = Duration.seconds(30)

/** Objects per listing. A kill can leave the last page out of the counts. */
const pageSize = 500

const purgedObjects = Metric.counter("spillway_purged_objects_total", {
  description: "Objects that purges have removed",
  incremental: true
})

export interface Emptied {
  /** Objects that were listed. */
  readonly found: number
  /** Those that could not be removed. */
  readonly failed: number
  /** Why, for the first of them. */
  readonly reason: string | undefined
}

export const make = Effect.gen(function* () {
  const rows = yield* PurgeRows
  const erasure = yield* Erasure
  const storage = yield* Storage
  const storageWrite = (yield* StorageBulkheads).write
  const clock = yield* Clock.Clock
  const permits = yield* Semaphore.make(concurrency)
  const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

  /** None after `until`: where the store hangs, a page takes no longer than the time slice and one removal. */
  const remove = ({ generation, key }: Pick<ObjectHead, "key"> & Partial<ObjectHead>, uid: string, until: number) =>
    permits.withPermits(1)(
      Effect.suspend(() =>
        now() >= until
          ? Effect.succeedNone
          : storage
              .remove(key, generation === undefined ? {} : { generation })
              .pipe(storageWrite.run(uid), Effect.timeout(removeTimeout), Effect.exit, Effect.asSome)
      )
    )

  const removeAll = Effect.fnUntraced(function* <O extends Pick<ObjectHead, "key"> & Partial<ObjectHead>>(
    { uid }: ClaimedPurge,
    objects: ReadonlyArray<O>,
    until: number
  ) {
    const results = yield* Effect.forEach(objects, (object) => remove(object, uid, until), { concurrency })
    const isRemoved = results.map(Option.exists(Exit.isSuccess))
    const failed = results
      .filter(Option.isSome)
      .map(({ value }) => value)
      .filter(Exit.isFailure)
    const removed = objects.filter((_, n) => isRemoved[n])
    yield* Metric.update(purgedObjects, removed.length)
    const reason = failed[0] === undefined ? undefined : Claims.errorOf(failed[0].cause)
    return { removed, failed: failed.length, reason }
  })

  /** The generation spares an object that is recorded under the same key after the purge. */
  const removePage = Effect.fnUntraced(function* (
    purge: ClaimedPurge,
    objects: ReadonlyArray<ObjectHead>,
    until: number
  ) {
    // The lease holds after the listing, so the purge was not done before its end: it has nothing that was recorded later.
    yield* rows.extend(purge)
    const { failed, reason, removed } = yield* removeAll(purge, objects, until)
    const bytes = removed.reduce((sum, { size }) => sum + size, 0)
    yield* rows.record(purge, Effect.succeed([undefined, { objects: removed.length, bytes }] as const))
    return { failed, reason }
  })

  /** The objects of speaker samples of a conversation, whose keys are those of their persons, and then their rows. */
  const emptySamples = Effect.fnUntraced(function* (purge: ClaimedPurge, until: number) {
    let found = 0
    while (now() < until) {
      const samples = yield* erasure.samples(purge, pageSize)
      if (samples.length === 0) break
      found += samples.length
      yield* rows.extend(purge)
      const { failed, reason, removed } = yield* removeAll(purge, samples, until)
      const bytes = removed.reduce((sum, { size }) => sum + size, 0)
      const counts = { objects: removed.length, bytes }
      yield* rows.record(purge, Effect.as(erasure.eraseSamples(removed), [undefined, counts] as const))
      if (failed > 0) return { found, failed, reason } satisfies Emptied
    }
    return { found, failed: 0, reason: undefined } satisfies Emptied
  })

  /** A page, or none if the store refuses to list a damaged object, which is removed instead. */
  const list = (purge: ClaimedPurge, prefix: string, after: string | undefined) =>
    storage.list(prefix, { limit: pageSize, ...(after === undefined ? {} : { after }) }).pipe(
      Effect.asSome,
      Effect.catchTag(
        "StorageRefused",
        Effect.fnUntraced(function* (refused) {
          const { key } = refused
          if (!key.startsWith(prefix) || key === prefix) return yield* refused
          yield* rows.extend(purge)
          yield* storage.remove(key).pipe(storageWrite.run(purge.uid))
          yield* rows.record(purge, Effect.succeed([undefined, { objects: 1 }] as const))
          return Option.none()
        })
      )
    )

  /** Removes everything under a prefix, until `until` by the monotonic clock in milliseconds. */
  const empty = Effect.fnUntraced(function* (purge: ClaimedPurge, prefix: string, until: number) {
    let after: string | undefined
    let isWhole = false
    let emptied: Emptied = { found: 0, failed: 0, reason: undefined }
    while (!isWhole && now() < until) {
      const page = yield* list(purge, prefix, after)
      const objects = Option.match(page, { onNone: () => [], onSome: ({ objects }) => objects })
      const { failed, reason } =
        objects.length > 0 ? yield* removePage(purge, objects, until) : { failed: 0, reason: undefined }
      emptied = {
        found: emptied.found + (Option.isSome(page) ? objects.length : 1),
        failed: emptied.failed + failed,
        reason: emptied.reason ?? reason
      }
      if (Option.isNone(page)) continue
      after = page.value.next
      isWhole = after === undefined
    }
    return emptied
  })

  return { empty, emptySamples }
})
