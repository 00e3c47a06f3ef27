/** Rates, bursts and rejected uses: `src/Pusher/TokenBucket.ts`. */
import { assert, it } from "@effect/vitest"
import { TokenBucket } from "../../src/Pusher/TokenBucket.ts"

it("allows a burst, and then what the rate earns", () => {
  const bucket = new TokenBucket(2, 3, 1_000)
  const uses = (now: number) => [1, 2, 3, 4].map(() => bucket.take(1, now))
  assert.deepStrictEqual(uses(1_000), [true, true, true, false])
  assert.deepStrictEqual(uses(2_000), [true, true, false, false])
  assert.deepStrictEqual(uses(60_000), [true, true, true, false])
})

it("allows the rate to a user who asks more often than it earns", () => {
  const bucket = new TokenBucket(2, 1, 0)
  let allowed = 0
  for (let now = 100; now <= 10_000; now += 100) if (bucket.take(1, now)) allowed++
  assert.strictEqual(allowed, 20)
})

it("earns nothing while its clock is set back", () => {
  const bucket = new TokenBucket(1, 1, 10_000)
  assert.isTrue(bucket.take(1, 10_000))
  assert.isFalse(bucket.take(1, 5_000))
  assert.isTrue(bucket.take(1, 6_000))
})
