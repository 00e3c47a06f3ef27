/** `src/Chat/Rate.ts`. */
import { assert, test } from "vitest"
import { Rate } from "../../src/Chat/Rate.ts"

test("A rate allows a burst of a minute, and then one action at a time, for each key", () => {
  let now = 1_000_000
  const rate = new Rate(60, () => now)
  for (let n = 0; n < 60; n++) assert.strictEqual(rate.take("a"), 0)
  assert.strictEqual(rate.take("a"), 1_000)
  assert.strictEqual(rate.take("b"), 0)
  now += 400
  assert.strictEqual(rate.take("a"), 600)
  now += 600
  assert.strictEqual(rate.take("a"), 0)
  assert.strictEqual(rate.take("a"), 1_000)
  now += 60_000
  for (let n = 0; n < 60; n++) assert.strictEqual(rate.take("a"), 0)
})

test("A rate forgets the key that acted longest ago when it has 10,000", () => {
  const rate = new Rate(1, () => 0)
  assert.strictEqual(rate.take("first"), 0)
  for (let n = 0; n < 9_999; n++) rate.take(`key ${n}`)
  assert.isAbove(rate.take("first"), 0)
  rate.take("one more")
  assert.strictEqual(rate.take("first"), 0)
})
