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

export class Webhooks extends Context.Service<
  Webhooks,
  {
    /** Takes due turns and starts them, as many as are free. Returns how many. */
    sweep(lane: Lane): Effect.Effect<number, DbError>
    /** Waits until a turn may be due or one is free, at most `limit`. */
    waitForTurn(lane: Lane, limit: Duration.Duration): Effect.Effect<void>
    /** Waits, at most `limit`, until this node commits events, and makes the turns of their endpoints due. */
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
          const wasFull = running[lane].size >= maxRunning[lane]
          running[lane].delete(turn)
          if (wasFull) signal(new Set([lane]))
        })
      )
    )

  return Webhooks.of({
    sweep: (lane) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function* () {
          const free = maxRunning[lane] - running[lane].size
          if (free <= 0) return 0
          const turns = yield* restore(rows.take(lane, free))
          for (const turn of turns) {
            running[lane].add(turn)
            yield* FiberSet.run(fibers, restore(runOne(lane, turn)), { propagateInterruption: false })
          }
          return turns.length
        })
      ),
    waitForTurn: (lane, limit) => Effect.asVoid(Effect.timeoutOption(Queue.take(signals[lane]), limit)),
    wakeAppended: Effect.fnUntraced(function* (limit) {
      const endpoints = yield* events.takeAppended(limit)
      if (endpoints.length > 0)
        signal(yield* Effect.onError(rows.wake(endpoints), () => Effect.sync(() => events.wake(endpoints))))
    }),
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
