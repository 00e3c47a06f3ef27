/** Attempts and their times, and every form of `Retry-After`. */
import { assert, it } from "@effect/vitest"
import { Schema } from "effect"
import * as RetryPolicy from "../../../src/Webhooks/Deliveries/RetryPolicy.ts"

const { delayAfter, judge, retryAfter } = RetryPolicy

const now = Date.UTC(2026, 10, 29, 12)
const day = 86_400_000
const middle = { now, random: 0.5 }

it("spreads ten attempts over three days, each delay a fifth longer or shorter", () => {
  const seconds = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]
  for (const [index, delay] of seconds.entries()) {
    assert.strictEqual(delayAfter(index + 1, 0.5), delay * 1_000)
    assert.strictEqual(delayAfter(index + 1, 0), delay * 800)
    assert.strictEqual(delayAfter(index + 1, 1), delay * 1_200)
  }
  assert.isUndefined(delayAfter(10, 0.5))
})

it("retries 408, 429, 5xx and no response, and no other status", () => {
  const stateOf = (status: number, attempts = 0) => judge({ status, retryAfter: undefined }, attempts, middle).state
  for (const status of [200, 201, 204, 299]) assert.strictEqual(stateOf(status), "delivered")
  for (const status of [408, 429, 500, 502, 503, 504, 599]) assert.strictEqual(stateOf(status), "pending")
  for (const status of [301, 302, 304, 400, 401, 403, 404, 410, 422]) assert.strictEqual(stateOf(status), "dead")
  assert.strictEqual(judge(undefined, 0, middle).state, "pending")
  assert.strictEqual(judge(undefined, 9, middle).state, "dead")
  assert.strictEqual(stateOf(503, 9), "dead")
  assert.deepStrictEqual(judge({ status: 410, retryAfter: "5" }, 0, middle), { state: "dead", isGone: true })
  assert.deepStrictEqual(judge({ status: 404, retryAfter: undefined }, 0, middle), { state: "dead", isGone: false })
})

const forms: ReadonlyArray<readonly [string | undefined, number]> = [
  [undefined, 0],
  ["", 0],
  ["0", 0],
  ["5", 5_000],
  [" 120 ", 120_000],
  ["86400", day],
  ["86401", day],
  ["315360000", day],
  ["99999999999999999999999999", day],
  ["-5", 0],
  ["1.5", 0],
  ["1e9", 0],
  ["0x10", 0],
  ["Infinity", 0],
  ["NaN", 0],
  ["soon", 0],
  ["Sun, 29 Nov 2026 12:01:00 GMT", 60_000],
  ["Sunday, 29-Nov-26 12:01:00 GMT", 60_000],
  ["Sun Nov 29 12:01:00 2026", 60_000],
  ["Sun, 29 Nov 2026 11:59:00 GMT", 0],
  ["Thu, 01 Jan 1970 00:00:00 GMT", 0],
  ["Sun, 29 Nov 2036 12:00:00 GMT", day],
  ["Sun, 99 Foo 2026 12:01:00 GMT", 0],
  ["2026-11-29T12:01:00Z", 0],
  ["60, 120", 0],
  ["\u0000", 0],
  ["9".repeat(10_000), day]
]

it("reads seconds and dates of `Retry-After`, at most a day, and ignores what is neither", () => {
  for (const [header, millis] of forms) assert.strictEqual(retryAfter(header, now), millis, header)
})

it("waits for the longer of the delay and `Retry-After`", () => {
  const dueIn = (header: string) => {
    const verdict = judge({ status: 429, retryAfter: header }, 0, middle)
    return verdict.state === "pending" ? verdict.dueIn : NaN
  }
  assert.strictEqual(dueIn("1"), 5_000)
  assert.strictEqual(dueIn("60"), 60_000)
  assert.strictEqual(dueIn("315360000"), day)
})

it.prop("never waits longer than a day and a fifth, whatever the header is", [Schema.String], ([header]) => {
  const millis = retryAfter(header, now)
  assert.isTrue(millis >= 0 && millis <= day, `${millis}`)
})
