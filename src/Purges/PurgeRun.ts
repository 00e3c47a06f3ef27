/** One run of a purge: deletes until a listing finds nothing, or a time slice ends. Every step can be repeated. */
import { Clock, Duration, Effect, Metric, Option, Ref, Schema, Semaphore } from "effect"
import { Keys } from "../Auth.ts"
import { StorageBulkheads } from "../Bulkhead.ts"
import * as Claims from "../Claims.ts"
import type { DbError } from "../Db.ts"
import { Deletion } from "../Deletion.ts"
import { Erasure, Recording } from "../Recording.ts"
import { type ObjectHead, Storage } from "../Storage.ts"
import { Users } from "../Users.ts"
import * as Prefixes from "./Prefixes.ts"
import { type ClaimedPurge, type Counts, PurgeRows } from "./PurgeRows.ts"

/** Objects of all purges of this node that are removed at once. They share the permits of `storage.write` with uploads. */
const window = 8

/** A removal that takes longer has failed. */
const removeTimeout = Duration.seconds(30)

/** Objects per listing, and so what a kill can leave out of the counts. */
const pageSize = 500

/** After this time a run gives its turn to the next purge that is due, and goes on later. */
const slice = Duration.seconds(20)

/** By then all nodes have ended their captures and released their journals. A purge is not done earlier. */
const settleTime = Duration.seconds(5)

/** The last keys have been removed for longer than nodes cache one, which could record until then. */
const keysSettleTime = Duration.seconds(15)

const purgedObjects = Metric.counter("spillway_purged_objects_total", {
  description: "Objects that purges have removed",
  incremental: true
})

/** Objects could not be removed, or more have appeared. */
class ObjectsLeft extends Schema.TaggedError<ObjectsLeft>()("ObjectsLeft", {
  objects: Schema.Int,
  prefix: Schema.String,
  reason: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    const left = this.objects === 1 ? "1 object is" : `${this.objects} objects are`
    return `${left} left under ${this.prefix}${this.reason === undefined ? "" : `: ${this.reason}`}`
  }
}

/** Another node has the purge, or it is cancelled. */
class LeaseEnded extends Schema.TaggedError<LeaseEnded>()("LeaseEnded", {}) {}

export type Outcome = "done" | "postponed" | "failed" | "dead" | "lost"

export const make = Effect.gen(function* () {
  const rows = yield* PurgeRows
  const recording = yield* Recording
  const erasure = yield* Erasure
  const deletion = yield* Deletion
  const storage = yield* Storage
  const keys = yield* Keys
  const users = yield* Users
  const storageWrite = (yield* StorageBulkheads).write
  const clock = yield* Clock.Clock
  const permits = yield* Semaphore.make(window)
  const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

  const orEnded = <A, E>(effect: Effect.Effect<Option.Option<A>, E>): Effect.Effect<A, E | LeaseEnded> =>
    Effect.flatMap(effect, (found) => (Option.isSome(found) ? Effect.succeed(found.value) : new LeaseEnded()))

  const eraseRows = Effect.fnUntraced(function* (purge: ClaimedPurge, until: number) {
    yield* erasure.awaitCreations(purge.uid)
    let isDone = false
    while (!isDone && now() < until) {
      const batch = Effect.map(erasure.eraseBatch(purge), ({ chunks, conversations, isDone }) => {
        const counts: Partial<Counts> = { chunks, conversations }
        return [isDone, counts] as const
      })
      isDone = yield* orEnded(rows.record(purge, batch))
    }
  })

  const eraseTombstones = Effect.fnUntraced(function* (purge: ClaimedPurge, prefix: string) {
    let removed = Claims.maxClaimed
    while (removed === Claims.maxClaimed) {
      const batch = Effect.map(deletion.forget(prefix, Claims.maxClaimed), (tombstones) => {
        const counts: Partial<Counts> = { tombstones }
        return [tombstones, counts] as const
      })
      removed = yield* orEnded(rows.record(purge, batch))
    }
  })

  const remove = ({ generation, key }: ObjectHead, uid: string) =>
    permits.withPermits(1)(
      storage.remove(key, { generation }).pipe(storageWrite.run(uid), Effect.timeout(removeTimeout), Effect.result)
    )

  /** Removes a page of objects. The generation keeps what is recorded under the same keys after the purge. */
  const removePage = Effect.fnUntraced(function* (purge: ClaimedPurge, objects: ReadonlyArray<ObjectHead>) {
    // With the lease after the listing, the purge was not done during it, and nothing new is listed.
    if ((yield* rows.extend(purge.token, [purge.id])).length === 0) return yield* new LeaseEnded()
    const results = yield* Effect.forEach(objects, (object) => remove(object, purge.uid), { concurrency: window })
    const removed = objects.filter((_, n) => results[n]?._tag === "Success")
    const bytes = removed.reduce((sum, { size }) => sum + size, 0)
    const counts = { objects: removed.length, bytes }
    yield* orEnded(rows.record(purge, Effect.succeed([undefined, counts] as const)))
    yield* Metric.update(purgedObjects, removed.length)
    const failed = results.find((result) => result._tag === "Failure")
    return { failed: objects.length - removed.length, reason: failed?.failure.message }
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
          if ((yield* rows.extend(purge.token, [purge.id])).length === 0) return yield* new LeaseEnded()
          yield* storage.remove(key).pipe(storageWrite.run(purge.uid))
          yield* orEnded(rows.record(purge, Effect.succeed([undefined, { objects: 1 }] as const)))
          return Option.none()
        })
      )
    )

  interface Emptied {
    readonly found: number
    readonly failed: number
    readonly reason: string | undefined
  }

  /** Returns what was found, and what could not be removed. Stops early at the end of the time slice. */
  const empty = Effect.fnUntraced(function* (purge: ClaimedPurge, prefix: string, until: number) {
    let after: string | undefined
    let isWhole = false
    let emptied: Emptied = { found: 0, failed: 0, reason: undefined }
    while (!isWhole && now() < until) {
      const page = yield* list(purge, prefix, after)
      const objects = Option.match(page, { onNone: () => [], onSome: ({ objects }) => objects })
      const { failed, reason } =
        objects.length > 0 ? yield* removePage(purge, objects) : { failed: 0, reason: undefined }
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

  /** Everything once, unless the time slice ends. Returns how long the purge must rest before the next pass; none if nothing was found. */
  const pass = Effect.fnUntraced(function* (purge: ClaimedPurge, until: number) {
    yield* eraseRows(purge, until)
    let found = 0
    for (const prefix of Prefixes.of(purge)) {
      yield* eraseTombstones(purge, prefix)
      const emptied = yield* empty(purge, prefix, until)
      found += emptied.found
      if (emptied.failed > 0) {
        yield* rows.setLeft(purge, emptied.failed)
        const { failed: objects, reason } = emptied
        return yield* new ObjectsLeft({ objects, prefix, ...(reason === undefined ? {} : { reason }) })
      }
      if (now() >= until) return Option.some(Duration.zero)
    }
    const again = found === 0 ? Option.none<Duration.Duration>() : Option.some(Duration.zero)
    yield* rows.setLeft(purge, 0)
    if (purge.conversation !== undefined) return again
    yield* users.removeSettings(purge.uid)
    const removed = keys
      .removeOf(purge.uid)
      .pipe(Effect.map((keys): readonly [number, Partial<Counts>] => [keys, { keys }]))
    return (yield* orEnded(rows.record(purge, removed))) === 0 ? again : Option.some(keysSettleTime)
  })

  const work = Effect.fnUntraced(function* (purge: ClaimedPurge) {
    const until = now() + Duration.toMillis(slice)
    const { chunks } = yield* erasure.summary(purge)
    const held = yield* orEnded(rows.start(purge, chunks))
    yield* recording.endPurged
    const rest = yield* pass(purge, until)
    const unsettled = Duration.subtract(settleTime, held)
    if (Option.isSome(rest) || Duration.isPositive(unsettled)) {
      yield* rows.postpone(
        purge,
        Duration.max(
          Option.getOrElse(rest, () => Duration.zero),
          unsettled
        )
      )
      return "postponed" as const
    }
    const done = yield* rows.complete(purge.token, [purge.id])
    return done === 1 ? ("done" as const) : ("lost" as const)
  })

  /** Ends when the lease has. */
  const extending = Effect.fnUntraced(function* (purge: ClaimedPurge) {
    const isLost = yield* Ref.make(false)
    yield* rows.extend(purge.token, [purge.id]).pipe(
      Effect.flatMap((kept) => Ref.set(isLost, kept.length === 0)),
      // The database may answer the next time, before the lease ends.
      Effect.ignore,
      Effect.delay(Claims.extendEvery),
      Effect.repeat({ until: () => Ref.get(isLost) })
    )
    return "lost" as const
  })

  const fail = Effect.fnUntraced(function* (purge: ClaimedPurge, error: string) {
    const { dead, retried } = yield* rows.fail(purge.token, [{ id: purge.id, error }])
    if (dead + retried === 0) return "lost" as const
    const { conversation, uid } = purge
    yield* Effect.logWarning("a purge is not complete, and is retried with backoff").pipe(
      Effect.annotateLogs({ job: purge.id, uid, conversation, error, dead: dead > 0 })
    )
    return dead > 0 ? ("dead" as const) : ("failed" as const)
  })

  return (purge: ClaimedPurge): Effect.Effect<Outcome, DbError> =>
    Effect.raceFirst(work(purge), extending(purge)).pipe(
      Effect.catchTag("LeaseEnded", () => Effect.succeed("lost" as const)),
      Effect.catchTag(["ObjectsLeft", "StorageUnavailable", "StorageRefused", "Saturated"], ({ message }) =>
        fail(purge, message)
      )
    )
})
