/** Many deadlines on one timer. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import * as Deadlines from "../src/Deadlines.ts"

it.effect("expires each one once, at its own time, unless it is dropped before", () =>
  Effect.gen(function* () {
    const { add, drop, now } = yield* Deadlines.make
    const expired: Array<number> = []
    const deadlines = [3, 1, 2, 4].map((seconds) => ({
      at: now() + seconds * 1000,
      expire: () => void expired.push(seconds)
    }))
    deadlines.forEach(add)
    for (const expected of [[1], [1, 2]]) {
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(expired, expected)
    }
    for (const deadline of deadlines.slice(0, 1)) drop(deadline)
    yield* TestClock.adjust("1 second")
    assert.deepStrictEqual(expired, [1, 2])
    yield* TestClock.adjust("1 hour")
    assert.deepStrictEqual(expired, [1, 2, 4])
  }).pipe(Effect.scoped)
)

it.effect("expires none after its scope", () =>
  Effect.gen(function* () {
    let expired = 0
    yield* Effect.scoped(
      Effect.map(Deadlines.make, ({ add, now }) => add({ at: now() + 1000, expire: () => void expired++ }))
    )
    yield* TestClock.adjust("1 hour")
    assert.strictEqual(expired, 0)
  })
)
