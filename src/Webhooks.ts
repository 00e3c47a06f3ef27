/** Delivers events to endpoints: each at least once, endpoints in turns, with retries over days. */
import { Context, Duration, Effect, FiberSet, Layer, Queue } from "effect"
import type { DbError } from "./Db.ts"
import { Events } from "./Events.ts"
import { Breakers } from "./Webhooks/Breakers.ts"
import { WebhookClient } from "./Webhooks/WebhookClient.ts"
import * as Completions from "./Webhooks/Deliveries/Completions.ts"
import { Disabling } from "./Webhooks/Deliveries/Disabling.ts"
import * as TurnRun from "./Webhooks/Deliveries/TurnRun.ts"
import { type Lane, type Turn, TurnRows } from "./Webhooks/Deliveries/TurnRows.ts"
import { EndpointErasure } from "./Webhooks/Endpoints/EndpointErasure.ts"

export type { Lane } from "./Webhooks/Deliveries/TurnRows.ts"
export { EndpointErasure }

/**
 * Turns of this node at once. With the requests at once that a turn begins with, endpoints that do not answer occupy no more than
 * the connections of the client, and those that have failed before at most a quarter of them.
 */
const maxRunning = { healthy: 48, failing: 16 } as const

/** Turns that one sweep takes; another one follows at once. */
const maxTaken = 16

export class Webhooks extends Context.Service<
  Webhooks,
  {
    /** Takes due turns and starts them, at most 16 and as many as are free. Returns how many. */
    sweep(lane: Lane): Effect.Effect<number, DbError>
    /** Waits until a turn may be due or one is free, at most `limit`. */
    waitForTurn(lane: Lane, limit: Duration.Duration): Effect.Effect<void>
    /** Waits, at most `limit`, until this node commits events. Starts the turns of their endpoints, or makes them due. */
    wakeAppended(limit: Duration.Duration): Effect.Effect<void, DbError>
    /** Extends the leases of the running turns. */
    readonly extendLeases: Effect.Effect<void, DbError>
    readonly recover: TurnRows["Service"]["recover"]
    /** Waits until no turn runs, and all results are recorded. */
    readonly idle: Effect.Effect<void>
  }
>()("spillway/Webhooks") {
  static readonly layerNoDeps = Layer.effect(
    Webhooks,
    Effect.suspend(() => make)
  )
  static readonly layer = this.layerNoDeps.pipe(
    Layer.provide([TurnRows.layer, Disabling.layer, Breakers.layer, WebhookClient.layer, Events.layer])
  )
}

const make = Effect.gen(function* () {
  const rows = yield* TurnRows
  const events = yield* Events
  const signals = { healthy: yield* Queue.sliding<void>(1), failing: yield* Queue.sliding<void>(1) }
  const signal = (lanes: ReadonlySet<Lane>) => {
    for (const lane of lanes) Queue.offerUnsafe(signals[lane], undefined)
  }
  const completions = yield* Completions.make(signal)
  const run = yield* TurnRun.make(completions)
  const fibers = yield* FiberSet.make<void>()
  const running = { healthy: new Set<Turn>(), failing: new Set<Turn>() }

  /** Free turns that a running query may take. */
  const reserved = { healthy: 0, failing: 0 }
  /** Due turns may wait in the database: the end of a running turn signals the lane. */
  const isFull = { healthy: false, failing: false }
  const reserve = (lane: Lane, most: number) => {
    const count = Math.max(0, Math.min(most, maxRunning[lane] - running[lane].size - reserved[lane]))
    reserved[lane] += count
    return count
  }

  const runOne = (lane: Lane, turn: Turn) =>
    run(turn, () => running[lane].has(turn)).pipe(
      Effect.catchDefect((defect) =>
        Effect.annotateLogs(
          Effect.logError("a turn of webhooks has ended with a defect; it is repeated after its lease", defect),
          { endpoint: turn.endpoint }
        )
      ),
      Effect.ensuring(
        Effect.sync(() => {
          running[lane].delete(turn)
          if (isFull[lane]) signal(new Set([lane]))
        })
      )
    )

  const start = (
    lane: Lane,
    turn: Turn,
    restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  ) => {
    running[lane].add(turn)
    return FiberSet.run(fibers, restore(runOne(lane, turn)), { propagateInterruption: false })
  }

  return Webhooks.of({
    sweep: (lane) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function* () {
          const limit = reserve(lane, maxTaken)
          isFull[lane] = limit === 0
          if (limit === 0) return 0
          const turns = yield* Effect.ensuring(
            restore(rows.take(lane, limit)),
            Effect.sync(() => (reserved[lane] -= limit))
          )
          for (const turn of turns) yield* start(lane, turn, restore)
          if (turns.length === limit) {
            isFull[lane] = true
            signal(new Set([lane]))
          }
          return turns.length
        })
      ),
    waitForTurn: (lane, limit) => Effect.asVoid(Effect.timeoutOption(Queue.take(signals[lane]), limit)),
    wakeAppended: (limit) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function* () {
          const endpoints = yield* restore(events.takeAppended(limit))
          if (endpoints.length === 0) return
          // Turns that wait already come first.
          const limits = {
            healthy: isFull.healthy ? 0 : reserve("healthy", maxRunning.healthy),
            failing: isFull.failing ? 0 : reserve("failing", maxRunning.failing)
          }
          const { due, turns } = yield* restore(rows.wake(endpoints, limits)).pipe(
            Effect.onError(() => Effect.sync(() => events.wake(endpoints))),
            Effect.ensuring(
              Effect.sync(() => {
                reserved.healthy -= limits.healthy
                reserved.failing -= limits.failing
              })
            )
          )
          for (const turn of turns) yield* start(turn.failures > 0 ? "failing" : "healthy", turn, restore)
          signal(due)
        })
      ),
    extendLeases: Effect.suspend(() => {
      const turns = [...running.healthy, ...running.failing]
      if (turns.length === 0) return Effect.void
      return Effect.map(rows.extend(turns), (held) => {
        for (const turn of turns) {
          if (held.has(turn.endpoint)) continue
          running.healthy.delete(turn)
          running.failing.delete(turn)
        }
      })
    }),
    recover: Effect.tap(rows.recover, (count) =>
      Effect.sync(() => count > 0 && signal(new Set<Lane>(["healthy", "failing"])))
    ),
    idle: Effect.andThen(FiberSet.awaitEmpty(fibers), completions.flush)
  })
})
