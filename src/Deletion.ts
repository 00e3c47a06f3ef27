/** Deletes objects later: durably, on any node, each at least once. */
import { Clock, Context, Duration, Effect, Layer, Option, Queue } from "effect"
import type { DbError } from "./Db.ts"
import * as Sweep from "./Deletion/Sweep.ts"
import { type DoomedObject, Tombstones } from "./Deletion/Tombstones.ts"

export { anyGeneration } from "./Deletion/Tombstones.ts"
export type { DoomedObject, Tombstone } from "./Deletion/Tombstones.ts"

export class Deletion extends Context.Service<
  Deletion,
  {
    /**
     * Deletes the objects `after` this time. Joins the transaction of the caller, if there is one. An object that is already
     * scheduled gets the new time.
     */
    schedule(
      objects: ReadonlyArray<DoomedObject>,
      options: { readonly after: Duration.Duration }
    ): Effect.Effect<void, DbError>
    /** Keeps objects whose deletion has not begun, and returns how many. */
    readonly cancel: Tombstones["Service"]["cancel"]
    /**
     * Claims one batch of due tombstones, and returns its size when the deletion of each has begun. `idle` waits for the
     * results.
     */
    readonly sweep: Effect.Effect<number, DbError>
    readonly idle: Effect.Effect<void>
    /** Waits until something is due, at most `limit`. An earlier tombstone that this node schedules ends the wait. */
    waitForDue(limit: Duration.Duration): Effect.Effect<void, DbError>
    readonly backlog: Tombstones["Service"]["backlog"]
    readonly dueTimes: Tombstones["Service"]["dueTimes"]
    /** Objects that this node has deleted since its start. */
    readonly deleted: Effect.Effect<number>
    readonly list: Tombstones["Service"]["list"]
    readonly retry: Tombstones["Service"]["retry"]
    readonly cancelById: Tombstones["Service"]["cancelById"]
    readonly removeUnder: Tombstones["Service"]["removeUnder"]
  }
>()("spillway/Deletion") {
  static readonly layerNoDeps = Layer.effect(
    Deletion,
    Effect.suspend(() => make)
  )
  static readonly layer = this.layerNoDeps.pipe(Layer.provide(Tombstones.layer))
}

const make = Effect.gen(function* () {
  const tombstones = yield* Tombstones
  const clock = yield* Clock.Clock
  const { deleted, idle, sweep } = yield* Sweep.make
  /** Monotonic milliseconds at which the current wait ends. */
  let wakeAt = Infinity
  /** One signal, however often the wait was shortened since it began. */
  const shortened = yield* Queue.sliding<void>(1)

  const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

  const wakeBy = (at: number) =>
    Effect.sync(() => {
      if (at >= wakeAt) return
      wakeAt = at
      Queue.offerUnsafe(shortened, undefined)
    })

  const schedule: Deletion["Service"]["schedule"] = (objects, { after }) =>
    Effect.suspend(() => tombstones.schedule(objects, after, wakeBy(now() + Duration.toMillis(after))))

  const wait: Effect.Effect<void> = Effect.suspend(() => {
    const left = wakeAt - now()
    if (left <= 0) return Effect.void
    return Effect.flatMap(Effect.timeoutOption(Queue.take(shortened), Duration.millis(left)), () => wait)
  })

  const waitForDue = Effect.fn("Deletion.waitForDue")(function* (limit: Duration.Duration) {
    // What is scheduled from here on shortens the wait, and what was scheduled before is in the answer.
    wakeAt = now() + Duration.toMillis(limit)
    const next = yield* tombstones.nextDue
    if (Option.isSome(next)) wakeAt = Math.min(wakeAt, now() + Duration.toMillis(next.value))
    yield* wait
  })

  const retry = (id: string) =>
    Effect.tap(
      tombstones.retry(id),
      Effect.suspend(() => wakeBy(now()))
    )

  const { backlog, cancel, cancelById, dueTimes, list, removeUnder } = tombstones
  return Deletion.of({
    schedule,
    cancel,
    sweep,
    idle,
    waitForDue,
    backlog,
    dueTimes,
    deleted,
    list,
    retry,
    cancelById,
    removeUnder
  })
})
