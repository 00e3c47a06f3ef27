/** Deletes conversations and accounts completely, and proves it by a listing. */
import { Context, Duration, Effect, FiberSet, Layer, Metric, Option, Queue, Semaphore } from "effect"
import { Keys } from "./Auth.ts"
import type { DbError } from "./Db.ts"
import * as PurgeRun from "./Purges/PurgeRun.ts"
import * as Prefixes from "./Purges/Prefixes.ts"
import type { Purge } from "./Purges/Purge.ts"
import { type ClaimedPurge, PurgeRows } from "./Purges/PurgeRows.ts"
import { Erasure, Recording, type Target } from "./Recording.ts"
import { Users } from "./Users.ts"
import { ChatErasure } from "./Chat.ts"
import * as Streams from "./Streams.ts"
import { EndpointErasure } from "./Webhooks.ts"
import { Storage, type StorageRefused, type StorageUnavailable } from "./Storage.ts"

export type { Purge } from "./Purges/Purge.ts"

/** Purges that run on this node at once; further ones wait for a turn. */
const maxRunning = 4

/** What a user has. Conversations and their seconds are counted to 10,000 conversations. */
export interface Account {
  readonly conversations: number
  readonly capturedSeconds: number
  readonly keys: number
}

export class Purges extends Context.Service<
  Purges,
  {
    /**
     * Purges after `delay`, and until then can be cancelled. A purge that has not started gets the new delay, a dead one is
     * retried. None if the target does not exist and never did, or if `isUnused` is false: it is read in the transaction of the
     * request, while none creates a conversation of the user.
     */
    request(
      target: Target,
      delay: Duration.Duration,
      isUnused?: Effect.Effect<boolean, DbError>
    ): Effect.Effect<Option.Option<Purge>, DbError | StorageUnavailable | StorageRefused>
    readonly list: PurgeRows["Service"]["list"]
    find(id: string): Effect.Effect<Option.Option<Purge>, DbError>
    /** False if it has started, or there is none. */
    cancel(id: string): Effect.Effect<boolean, DbError>
    /** None if the user has neither keys nor conversations. */
    account(uid: string): Effect.Effect<Option.Option<Account>, DbError>
    /** Claims a due purge and starts it; 0 if there is none. `idle` waits for the running ones. */
    readonly sweep: Effect.Effect<number, DbError>
    readonly idle: Effect.Effect<void>
    /** Waits until this node requests a purge, at most `limit`. */
    waitForRequest(limit: Duration.Duration): Effect.Effect<void>
    /** Removes rows that finished long ago. */
    readonly prune: Effect.Effect<void, DbError>
    readonly backlog: PurgeRows["Service"]["backlog"]
  }
>()("spillway/Purges") {
  static readonly layerNoDeps = Layer.effect(
    Purges,
    Effect.suspend(() => make)
  )
  static readonly layer = this.layerNoDeps.pipe(
    Layer.provide([
      PurgeRows.layer,
      Erasure.layer,
      Users.layer,
      EndpointErasure.layer,
      ChatErasure.layer,
      Streams.StreamErasure.layer
    ])
  )
}

const outcomes = Metric.counter("spillway_purges_total", {
  description:
    "Runs of purges by outcome: done, postponed, failed (retried with backoff), dead (given up), lost (to another node)",
  incremental: true
})

const make = Effect.gen(function* () {
  const rows = yield* PurgeRows
  const recording = yield* Recording
  const erasure = yield* Erasure
  const storage = yield* Storage
  const keys = yield* Keys
  const endpoints = yield* EndpointErasure
  const chat = yield* ChatErasure
  const streams = yield* Streams.StreamErasure
  const run = yield* PurgeRun.make
  const slots = yield* Semaphore.make(maxRunning)
  const running = yield* FiberSet.make<void>()
  const requested = yield* Queue.sliding<void>(1)

  const accountOf = Effect.fnUntraced(function* (uid: string) {
    const counts = [erasure.summary({ uid, conversation: undefined }), keys.countOf(uid)] as const
    const [{ capturedSeconds, conversations }, held] = yield* Effect.all(counts, { concurrency: 2 })
    const account: Account = { conversations, capturedSeconds, keys: held }
    return conversations + held === 0 ? Option.none() : Option.some(account)
  })

  const exists = Effect.fnUntraced(function* (target: Target) {
    if (yield* recording.isLive(target)) return true
    if (target.conversation !== undefined) return (yield* erasure.summary(target)).conversations > 0
    if (Option.isSome(yield* accountOf(target.uid)) || (yield* endpoints.has(target.uid))) return true
    if ((yield* chat.has(target.uid)) || (yield* streams.has(target.uid))) return true
    const pages = yield* Effect.forEach(Prefixes.of(target), (prefix) => storage.list(prefix, { limit: 1 }))
    return pages.some(({ objects }) => objects.length > 0)
  })

  const request: Purges["Service"]["request"] = Effect.fn("Purges.request")(function* (target, delay, isUnused) {
    const known = yield* rows.unfinished(target)
    if (Option.isNone(known) && !(yield* exists(target))) return yield* rows.done(target)
    const inserted = yield* isUnused === undefined
      ? Effect.asSome(rows.request(target, delay))
      : rows.requestIf(target, delay, isUnused)
    if (Option.isNone(inserted)) return Option.none()
    const purge = inserted.value
    if (purge.startedAt !== undefined) {
      // The fence already holds, and every node ends its captures within seconds.
      yield* Effect.catchCause(recording.endPurged, (cause) =>
        Effect.logWarning("captures of a purged conversation could not be ended at once", cause)
      )
      yield* Queue.offer(requested, undefined)
    }
    return Option.some(purge)
  })

  const runOne = Effect.fnUntraced(function* (purge: ClaimedPurge) {
    const outcome = yield* run(purge)
    yield* Metric.update(Metric.withAttributes(outcomes, { outcome }), 1)
    const { conversation, uid } = purge
    if (outcome === "done")
      yield* Effect.logInfo(conversation === undefined ? "an account was purged" : "a conversation was purged").pipe(
        Effect.annotateLogs({ job: purge.id, uid, conversation })
      )
  })

  const sweep = Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      yield* restore(slots.take(1))
      const claimed = yield* restore(rows.claim).pipe(Effect.onError(() => slots.release(1)))
      if (Option.isNone(claimed)) {
        yield* slots.release(1)
        return 0
      }
      yield* restore(runOne(claimed.value)).pipe(
        Effect.catchCause((cause) =>
          Effect.logWarning("a purge was interrupted and is repeated after its lease", cause).pipe(
            Effect.annotateLogs({ job: claimed.value.id })
          )
        ),
        Effect.ensuring(slots.release(1)),
        FiberSet.run(running, { propagateInterruption: false })
      )
      return 1
    })
  )

  const { backlog, cancel, find, prune } = rows
  return Purges.of({
    request,
    list: rows.list,
    find,
    cancel,
    account: accountOf,
    sweep,
    idle: FiberSet.awaitEmpty(running),
    waitForRequest: (limit) => Effect.asVoid(Effect.timeoutOption(Queue.take(requested), limit)),
    prune,
    backlog
  })
})
