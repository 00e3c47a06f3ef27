/** Records what became of deliveries: many results in one statement, one statement at a time. */
import { Deferred, Duration, Effect, Queue, Schedule } from "effect"
import type { Scope } from "effect"
import type { DbError } from "../../Db.ts"
import { type Lane, type Release, type Result, TurnRows } from "./TurnRows.ts"

/** Results that wait for a statement. At the bound, deliveries wait. */
const maxWaiting = 1_000

/** Results of one statement, up to 13 MB with the largest responses. */
const maxBatch = 200

/** What is left when the node stops is recorded in this time; otherwise it is sent again when the leases have ended. */
const stopLimit = Duration.seconds(2)

/** While the database rejects the statement, it is repeated for about as long as the leases last. */
const retries = Schedule.upTo(Schedule.spaced("500 millis"), { duration: "10 seconds" })

type Item =
  | { readonly result: Result }
  | { readonly release: Release }
  /** Ends a turn in another way. */
  | { readonly end: Effect.Effect<void, DbError> }

export interface Completions {
  /** In the order of the calls, so that the results of a turn are recorded before its end. */
  add(item: Item): Effect.Effect<void>
  /** Waits until everything that was added before is recorded. */
  readonly flush: Effect.Effect<void>
}

/** Calls `onDue` with the lanes of turns that have ended and are due again. */
export const make = Effect.fnUntraced(function* (
  onDue: (lanes: ReadonlySet<Lane>) => void
): Effect.fn.Return<Completions, never, TurnRows | Scope.Scope> {
  const rows = yield* TurnRows
  const queue = yield* Queue.bounded<Item>(maxWaiting)

  const record = Effect.fnUntraced(function* (items: ReadonlyArray<Item>) {
    const results = items.flatMap((item) => ("result" in item ? [item.result] : []))
    const releases = items.flatMap((item) => ("release" in item ? [item.release] : []))
    const ends = items.flatMap((item) => ("end" in item ? [item.end] : []))
    if (results.length + releases.length > 0) onDue(yield* Effect.retry(rows.complete(results, releases), retries))
    yield* Effect.all(ends, { discard: true })
    if (ends.length > 0) onDue(new Set(["healthy"]))
  })
  const recordOrLog = (items: ReadonlyArray<Item>) =>
    Effect.catchCause(record(items), (cause) =>
      Effect.logWarning("results of deliveries could not be recorded; the events are sent again", cause)
    )

  yield* Effect.addFinalizer(() =>
    Effect.flatMap(Queue.clear(queue), recordOrLog).pipe(Effect.interruptible, Effect.timeoutOption(stopLimit))
  )
  yield* Queue.takeBetween(queue, 1, maxBatch).pipe(
    Effect.flatMap((items) => Effect.uninterruptible(recordOrLog(items))),
    Effect.forever,
    Effect.forkScoped
  )
  const add: Completions["add"] = (item) => Effect.asVoid(Queue.offer(queue, item))
  return {
    add,
    flush: Effect.gen(function* () {
      const reached = yield* Deferred.make<void>()
      yield* add({ end: Effect.asVoid(Deferred.succeed(reached, undefined)) })
      yield* Deferred.await(reached)
    })
  }
})
