/** Background loops, by the test's clock. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Logger, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as BackgroundLoop from "../src/BackgroundLoop.ts"

interface Logged {
  readonly level: string
  readonly message: unknown
}

const collect = (logged: Array<Logged>) =>
  Logger.layer([Logger.make(({ logLevel: level, message }) => void logged.push({ level, message }))])

describe("A background loop", () => {
  it.effect("pauses for as long as the last round says, and ends with its scope", () =>
    Effect.gen(function* () {
      let rounds = 0
      const scope = yield* Scope.make()
      const round = Effect.sync(() => Duration.seconds(++rounds))
      yield* Scope.provide(BackgroundLoop.fork(round, { failed: "", retryAfter: Duration.zero }), scope)
      yield* TestClock.adjust(0)
      assert.strictEqual(rounds, 1)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(rounds, 2)
      yield* TestClock.adjust("1999 millis")
      assert.strictEqual(rounds, 2)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(rounds, 3)
      yield* Scope.close(scope, Exit.void)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(rounds, 3)
    })
  )

  it.effect("repeats a round that fails or dies, and logs a failure as a warning and a defect as an error", () => {
    const logged: Array<Logged> = []
    return Effect.gen(function* () {
      const outcomes = [Effect.fail("unavailable"), Effect.die("a bug"), Effect.void]
      let rounds = 0
      const work = Effect.suspend(() => outcomes[rounds++] ?? Effect.void)
      yield* BackgroundLoop.every(Duration.seconds(10), work, "the work failed")
      yield* TestClock.adjust("20 seconds")
      assert.strictEqual(rounds, 3)
      assert.deepStrictEqual(
        logged.map(({ level, message }) => [level, Array.isArray(message) ? message[0] : message]),
        [
          ["Warn", "the work failed"],
          ["Error", "the work failed"],
          ["Info", "the work failed; it works again after 2 failures"]
        ]
      )
    }).pipe(Effect.provide(collect(logged)))
  })

  it.effect("logs an outage once, a defect in it, and its end", () => {
    const logged: Array<Logged> = []
    return Effect.gen(function* () {
      let rounds = 0
      const outcomeOf = (round: number) => {
        if (round === 500) return Effect.die("a bug")
        return round < 1_000 ? Effect.fail("unavailable") : Effect.void
      }
      const work = Effect.suspend(() => outcomeOf(rounds++))
      yield* BackgroundLoop.every(Duration.seconds(1), work, "the work failed")
      yield* TestClock.adjust("1002 seconds")
      yield* TestClock.adjust("1 second")
      assert.isAbove(rounds, 1_002)
      const shown = logged.filter(({ level }) => level !== "Debug")
      assert.deepStrictEqual(
        shown.map(({ level, message }) => [level, Array.isArray(message) ? message[0] : message]),
        [
          ["Warn", "the work failed"],
          ["Error", "the work failed"],
          ["Info", "the work failed; it works again after 1000 failures"]
        ]
      )
    }).pipe(Effect.provide(collect(logged)))
  })
})
