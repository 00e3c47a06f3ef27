/** Deletes the objects of due tombstones, one batch at a time. */
import { Clock, Deferred, Duration, Effect, Exit, FiberSet, Metric, Semaphore } from "effect"
import { StorageBulkheads } from "../Bulkhead.ts"
import * as Claims from "../Claims.ts"
import { Storage } from "../Storage.ts"
import { anyGeneration, type DoomedObject, Tombstones } from "./Tombstones.ts"

/** Deletions that run at once on this node. They share the permits of `storage.write` with uploads. */
export const concurrency = 8

/** A deletion that takes longer has failed. */
const deleteTimeout = Duration.seconds(30)

/** Batches with unwritten results; at the bound the next sweep waits. Each deletion can hang and hold one, so two are left. */
const maxBatches = concurrency + 2

/** Failures are logged at most once in this time; the metric counts all of them. */
const logEvery = Duration.minutes(1)

/** How often results are written while a batch runs. */
const writeEvery = Duration.millis(100)

const outcomes = Metric.counter("spillway_deletions_total", {
  description: "Deletions by outcome: deleted, failed (retried with backoff) and dead (given up)",
  incremental: true
})
const deleted = Metric.withAttributes(outcomes, { outcome: "deleted" })
const failed = Metric.withAttributes(outcomes, { outcome: "failed" })
const dead = Metric.withAttributes(outcomes, { outcome: "dead" })

type Claimed = Claims.ClaimedRow<DoomedObject>

/** The scope ends the running deletions, and leaves their rows to the lease. */
export const make = Effect.gen(function* () {
  const tombstones = yield* Tombstones
  const storage = yield* Storage
  const storageWrite = (yield* StorageBulkheads).write
  const clock = yield* Clock.Clock
  const permits = yield* Semaphore.make(concurrency)
  const slots = yield* Semaphore.make(maxBatches)
  const batches = yield* FiberSet.make<void>()
  let quietUntil = -Infinity

  const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

  const remove = ({ columns: { generation, key, uid } }: Claimed) =>
    storage
      .remove(key, generation === anyGeneration ? {} : { generation })
      .pipe(storageWrite.run(uid), Effect.timeout(deleteTimeout), Effect.exit)

  const run = Effect.fnUntraced(function* (
    { rows, token }: Claims.Claim<DoomedObject>,
    claimedAt: number,
    started: Deferred.Deferred<void>
  ) {
    /** Rows without a result that is written or about to be. */
    const open = new Set(rows.map(({ id }) => id))
    let removed: Array<string> = []
    let failures: Array<Claims.Failure> = []
    let leaseEnd = claimedAt + Duration.toMillis(Claims.lease)
    let extendAt = claimedAt + Duration.toMillis(Claims.extendEvery)
    let unstarted = rows.length

    const settle = (row: Claimed, exit: Exit.Exit<void, unknown>) => {
      open.delete(row.id)
      if (Exit.isSuccess(exit)) removed.push(row.id)
      else failures.push({ id: row.id, error: Claims.errorOf(exit.cause) })
    }
    const each = (row: Claimed) =>
      permits.withPermits(1)(
        Effect.suspend(() => {
          if (--unstarted === 0) Deferred.doneUnsafe(started, Effect.void)
          // After a lease another node may have claimed the row.
          if (now() >= leaseEnd) open.delete(row.id)
          if (!open.has(row.id)) return Effect.void
          return Effect.map(remove(row), (exit) => settle(row, exit))
        })
      )

    /** Rows whose results are not written are deleted again after their lease, which is harmless. */
    const write = Effect.gen(function* () {
      const [ids, errors] = [removed, failures]
      removed = []
      failures = []
      if (ids.length > 0) yield* Metric.update(deleted, yield* tombstones.complete(token, ids))
      if (errors.length === 0) return
      const counts = yield* tombstones.fail(token, errors)
      yield* Metric.update(failed, counts.retried)
      yield* Metric.update(dead, counts.dead)
      const example = { failed: counts.retried, dead: counts.dead, error: errors[0]?.error }
      const isQuiet = now() < quietUntil
      if (!isQuiet) quietUntil = now() + Duration.toMillis(logEvery)
      const log = isQuiet ? Effect.logDebug : Effect.logWarning
      yield* log("deletions failed").pipe(Effect.annotateLogs(example))
    })
    const extend = Effect.gen(function* () {
      const at = now()
      if (open.size === 0 || at < extendAt) return
      extendAt = at + Duration.toMillis(Claims.extendEvery)
      const kept = new Set(yield* tombstones.extend(token, [...open]))
      for (const id of open) if (!kept.has(id)) open.delete(id)
      leaseEnd = at + Duration.toMillis(Claims.lease)
    })
    const report = Effect.andThen(write, extend).pipe(
      Effect.catchCause((cause) =>
        Effect.logWarning(
          "results of deletions could not be written, these objects are deleted again after the lease",
          cause
        )
      )
    )

    const done = Deferred.makeUnsafe<void>()
    const deleting = Effect.forEach(rows, each, { concurrency, discard: true }).pipe(
      Effect.ensuring(Deferred.done(done, Exit.void))
    )
    const reporting = Effect.timeoutOption(Deferred.await(done), writeEvery).pipe(
      Effect.tap(report),
      Effect.repeat({ until: (finished) => finished._tag === "Some" })
    )
    yield* Effect.all([deleting, reporting], { concurrency: "unbounded", discard: true })
  })

  /** Returns when all deletions of the batch have begun. The last ones run in the background, so one that hangs delays no other. */
  const sweep = Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      yield* restore(slots.take(1))
      const claimedAt = now()
      const claim = yield* restore(tombstones.claim(Claims.maxClaimed)).pipe(Effect.onError(() => slots.release(1)))
      const size = claim.rows.length
      const started = Deferred.makeUnsafe<void>()
      const batch = size === 0 ? Effect.void : restore(run(claim, claimedAt, started))
      yield* batch.pipe(
        Effect.ensuring(Effect.andThen(Deferred.done(started, Exit.void), slots.release(1))),
        FiberSet.run(batches, { propagateInterruption: false })
      )
      yield* restore(Deferred.await(started))
      return size
    })
  )

  return {
    sweep,
    idle: FiberSet.awaitEmpty(batches),
    deleted: Effect.map(Metric.value(deleted), ({ count }) => Number(count))
  }
})
