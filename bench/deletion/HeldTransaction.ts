/** Tombstones come and go at a steady rate while another session keeps a transaction open, which stops vacuum. */
import type { PgClient } from "@effect/sql-pg"
import { Duration, Effect, Exit, Fiber, Schedule, Scope } from "effect"
import type { Deletion } from "../../src/Deletion.ts"

export interface HeldReport {
  readonly seconds: number
  readonly arrivalsPerSecond: number
  /** Deletions per second in the first and in the last tenth of the time. */
  readonly firstPerSecond: number
  readonly lastPerSecond: number
  /** Share by which the rate fell. */
  readonly rateFall: number
  /** Tombstones that were due and not deleted when the transaction ended, and how long they took then. */
  readonly behind: number
  readonly catchUpSeconds: number
}

/** Tombstones that are scheduled together, ten times a second. */
const burstsPerSecond = 10

/** The janitor runs. `removed` counts deletions. */
export const holdTransaction = (
  deletion: Deletion["Service"],
  sql: PgClient.PgClient,
  removed: () => number,
  { perSecond, seconds }: { readonly perSecond: number; readonly seconds: number }
) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const connection = yield* Scope.provide(sql.reserve, scope)
    yield* connection.executeRaw("BEGIN ISOLATION LEVEL REPEATABLE READ", [])
    yield* connection.executeRaw("SET LOCAL idle_in_transaction_session_timeout = 0", [])
    yield* connection.executeRaw("SELECT txid_current()", [])
    let scheduled = 0
    const size = perSecond / burstsPerSecond
    const burst = Effect.suspend(() => {
      const objects = Array.from({ length: size }, () => {
        const n = scheduled++
        return { key: `chunks/u${n % 100}/held/${n}.batch.bin`, generation: "1", uid: `u${n % 100}` }
      })
      return deletion.schedule(objects, { after: Duration.zero })
    })
    const arriving = yield* Effect.forkScoped(
      Effect.repeat(burst, Schedule.fixed(Duration.millis(1_000 / burstsPerSecond)))
    )
    const before = removed()
    const rates: Array<number> = []
    for (let tenth = 0; tenth < 10; tenth++) {
      const [start, began] = [removed(), performance.now()]
      yield* Effect.sleep(Duration.seconds(seconds / 10))
      rates.push(((removed() - start) * 1_000) / (performance.now() - began))
    }
    const arrived = scheduled
    const behind = arrived - (removed() - before)
    yield* connection.executeRaw("COMMIT", [])
    yield* Scope.close(scope, Exit.void)
    const ended = performance.now()
    // Arrivals continue: it must be faster than they are.
    yield* Effect.repeat(
      Effect.sync(() => removed() - before),
      {
        until: (done) => done >= scheduled - perSecond,
        schedule: Schedule.spaced("50 millis")
      }
    )
    const catchUpSeconds = (performance.now() - ended) / 1_000
    yield* Fiber.interrupt(arriving)
    const [first = NaN, last = NaN] = [rates[0], rates.at(-1)]
    const report: HeldReport = {
      seconds,
      arrivalsPerSecond: arrived / seconds,
      firstPerSecond: first,
      lastPerSecond: last,
      rateFall: Math.max(0, 1 - last / first),
      behind,
      catchUpSeconds
    }
    return report
  })
