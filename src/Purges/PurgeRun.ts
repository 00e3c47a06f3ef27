/** One run of a purge: deletes until a pass finds nothing, or its time slice ends. Every step can be repeated. */
import { Cause, Clock, Duration, Effect, Option, Schema } from "effect"
import { Keys } from "../Auth.ts"
import { errorOf, extendEvery } from "../Claims.ts"
import type { DbError } from "../Db.ts"
import { Deletion } from "../Deletion.ts"
import { Erasure, Recording } from "../Recording.ts"
import { Users } from "../Users.ts"
import { ChatErasure } from "../Chat.ts"
import * as Streams from "../Streams.ts"
import { EndpointErasure } from "../Webhooks.ts"
import * as Prefixes from "./Prefixes.ts"
import type { Counts } from "./Purge.ts"
import * as PurgeObjects from "./PurgeObjects.ts"
import { type ClaimedPurge, PurgeRows } from "./PurgeRows.ts"

/** After this time a run lets the next due purge have its turn, and resumes later. */
const slice = Duration.seconds(20)

/** Tombstones that are removed at once. */
const tombstonesAtOnce = 500

/** By then all nodes have ended their captures and released their journals. A purge is not done earlier. */
const settleTime = Duration.seconds(5)

/** Pause after keys were deleted, before the last pass: nodes cache a key for 10 seconds, in which it still records. */
const keysSettleTime = Duration.seconds(15)

/** Pause before the next pass: a listing may lag. */
const provePause = Duration.seconds(1)

/** Objects could not be removed. `reason` is of the first. */
class ObjectsLeft extends Schema.TaggedError<ObjectsLeft>()("ObjectsLeft", {
  objects: Schema.Int,
  prefixes: Schema.Array(Schema.String),
  reason: Schema.UndefinedOr(Schema.String)
}) {
  override get message() {
    const left = this.objects === 1 ? "1 object is" : `${this.objects} objects are`
    return `${left} left under ${this.prefixes.join(", ")}${this.reason === undefined ? "" : `: ${this.reason}`}`
  }
}

/** `lost`: another node has claimed it, or it was cancelled. */
export type Outcome = "done" | "postponed" | "failed" | "dead" | "lost"

export const make = Effect.gen(function* () {
  const rows = yield* PurgeRows
  const recording = yield* Recording
  const erasure = yield* Erasure
  const deletion = yield* Deletion
  const keys = yield* Keys
  const users = yield* Users
  const endpoints = yield* EndpointErasure
  const chat = yield* ChatErasure
  const streams = yield* Streams.StreamErasure
  const objects = yield* PurgeObjects.make
  const clock = yield* Clock.Clock
  const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

  /** Records what `work` deletes: of one kind, as many as it returns. */
  const recordCount = <E>(purge: ClaimedPurge, kind: "tombstones" | "keys", work: Effect.Effect<number, E>) =>
    rows.record(
      purge,
      Effect.map(work, (count): readonly [number, Partial<Counts>] => [count, { [kind]: count }])
    )

  const eraseRows = Effect.fnUntraced(function* (purge: ClaimedPurge, until: number) {
    yield* erasure.awaitCreations(purge.uid)
    let isDone = false
    while (!isDone && now() < until) {
      const batch = Effect.map(erasure.eraseBatch(purge), ({ chunks, conversations, isDone }) => {
        const counts: Partial<Counts> = { chunks, conversations }
        return [isDone, counts] as const
      })
      isDone = yield* rows.record(purge, batch)
    }
  })

  const eraseTombstones = Effect.fnUntraced(function* (purge: ClaimedPurge, prefix: string) {
    const batch = recordCount(purge, "tombstones", deletion.removeUnder(prefix, tombstonesAtOnce))
    yield* Effect.repeat(batch, { while: (removed) => removed === tombstonesAtOnce })
  })

  /** Returns how many of its keys, webhooks, streams and rows of chat it has removed, with what these left behind. */
  const removeAccount = Effect.fnUntraced(function* (purge: ClaimedPurge, until: number) {
    if (purge.conversation !== undefined) return 0
    yield* users.removeSettings(purge.uid)
    yield* endpoints.removeOf(purge.uid)
    const erased = yield* Effect.repeat(endpoints.erase(purge.uid), { while: (erased) => erased > 0 && now() < until })
    if (erased > 0) return erased
    const written = yield* Effect.repeat(chat.eraseOf(purge.uid), { while: (erased) => erased > 0 && now() < until })
    if (written > 0) return written
    const left = yield* Effect.repeat(streams.eraseOf(purge.uid), { while: (erased) => erased > 0 && now() < until })
    if (left > 0) return left
    return yield* recordCount(purge, "keys", keys.removeOf(purge.uid))
  })

  /** A prefix that can't be listed counts as one object. */
  const empty = (purge: ClaimedPurge, prefix: string, until: number) =>
    objects
      .empty(purge, prefix, until)
      .pipe(
        Effect.catchTag("StorageRefused", ({ message }) => Effect.succeed({ found: 1, failed: 1, reason: message }))
      )

  /** Deletes what it can once, until the time slice ends. Returns the pause before the next pass; none if nothing was found. */
  const pass = Effect.fnUntraced(function* (purge: ClaimedPurge, until: number) {
    yield* eraseRows(purge, until)
    let found = 0
    let left: ObjectsLeft | undefined
    const count = (emptied: PurgeObjects.Emptied, place: string) => {
      found += emptied.found
      if (emptied.failed === 0) return
      left = new ObjectsLeft({
        objects: emptied.failed + (left?.objects ?? 0),
        prefixes: [...(left?.prefixes ?? []), place],
        reason: left === undefined ? emptied.reason : left.reason
      })
    }
    if (purge.conversation !== undefined)
      count(yield* objects.emptySamples(purge, until), `${purge.uid}/people_profiles/`)
    for (const prefix of Prefixes.of(purge)) {
      yield* eraseTombstones(purge, prefix)
      count(yield* empty(purge, prefix, until), prefix)
      if (now() >= until) break
    }
    const isEnded = now() >= until
    if (isEnded && left === undefined) return Option.some(Duration.zero)
    yield* rows.setLeft(purge, left?.objects ?? 0)
    const removed = isEnded ? 0 : yield* removeAccount(purge, until)
    if (left !== undefined) return yield* left
    if (removed > 0) return Option.some(keysSettleTime)
    return found === 0 ? Option.none<Duration.Duration>() : Option.some(provePause)
  })

  const work = Effect.fnUntraced(function* (purge: ClaimedPurge) {
    const until = now() + Duration.toMillis(slice)
    const { chunks } = yield* erasure.summary(purge)
    const started = yield* rows.start(purge, chunks)
    yield* recording.endPurged
    const rest = yield* pass(purge, until)
    const unsettled = Duration.subtract(settleTime, started)
    if (Option.isNone(rest) && !Duration.isPositive(unsettled)) {
      yield* rows.complete(purge)
      return "done" as const
    }
    yield* rows.postpone(
      purge,
      Duration.max(
        Option.getOrElse(rest, () => Duration.zero),
        unsettled
      )
    )
    return "postponed" as const
  })

  /** Fails when the lease has ended. */
  const keepLease = (purge: ClaimedPurge) =>
    rows.extend(purge).pipe(
      // The database may answer the next time, before the lease ends.
      Effect.catchTag(["DbUnavailable", "DbTimeout", "DbBusy"], () => Effect.void),
      Effect.delay(extendEvery),
      Effect.forever
    )

  const fail = Effect.fnUntraced(function* (purge: ClaimedPurge, error: string) {
    const outcome = yield* rows.fail(purge, error)
    const { conversation, id: job, uid } = purge
    const message =
      outcome === "dead" ? "a purge has failed 20 times and is dead" : "a purge has failed and is retried with backoff"
    yield* Effect.annotateLogs(Effect.logWarning(message), { job, uid, conversation, error })
    return outcome
  })

  return (purge: ClaimedPurge): Effect.Effect<Outcome, DbError> =>
    Effect.raceFirst(work(purge), keepLease(purge)).pipe(
      Effect.catchTag(["ObjectsLeft", "StorageUnavailable", "Saturated"], ({ message }) => fail(purge, message)),
      Effect.catchDefect((defect) =>
        Effect.andThen(
          Effect.logError("a purge has ended with a defect", defect),
          fail(purge, errorOf(Cause.die(defect)))
        )
      ),
      Effect.catchTag("LeaseEnded", () => Effect.succeed("lost" as const))
    )
})
