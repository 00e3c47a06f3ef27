/** The policy alone, on a virtual clock. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Schema } from "effect"
import type { SqlError } from "effect/sql"
import { TestClock } from "effect/testing"
import { callerOf, DbBusy, DbCaller, DbTimeout, DbUnavailable, healthCaller, ingestCaller } from "../../src/Db.ts"
import { DbConfig } from "../../src/Db/DbConfig.ts"
import type { Observer } from "../../src/Db/DbMetrics.ts"
import * as Policy from "../../src/Db/Policy.ts"
import * as Settings from "../../src/Settings.ts"
import { answered, broke } from "./support/Errors.ts"

const standard = Settings.read(DbConfig.settings)
const silent: Observer = { onEnd: () => undefined, onRetry: () => undefined, onFault: () => undefined }
const repeatable: Policy.Operation = { name: "Test.read", isRepeatable: () => true }
const once: Policy.Operation = { name: "Test.write", isRepeatable: () => false }

type Limits = Parameters<typeof Policy.make>[0]

const make = (changes: Partial<Limits> = {}) =>
  Effect.flatMap(standard, (limits) => Policy.make({ ...limits, ...changes }, silent))

/** An effect that records the times of its runs and returns the next of `results`; the last one is repeated. */
const script = <A>(...results: ReadonlyArray<Effect.Effect<A, SqlError.SqlError>>) => {
  const at: Array<number> = []
  const effect = Effect.clockWith((clock) => {
    at.push(clock.currentTimeMillisUnsafe())
    return results[Math.min(at.length, results.length) - 1] ?? Effect.die("no result")
  })
  return { at, effect }
}

/** Runs it while the clock advances by `time`; returns its exit and its end. */
const during = <A, E>(time: Duration.Input, effect: Effect.Effect<A, E>) =>
  Effect.gen(function* () {
    const ended = Effect.all([Effect.exit(effect), Effect.clockWith((clock) => clock.currentTimeMillis)])
    const fiber = yield* Effect.forkChild(ended)
    yield* TestClock.adjust(time)
    const exit = fiber.pollUnsafe()
    assert.isDefined(exit, "has not ended")
    const [result, at] = yield* Fiber.join(fiber)
    return { result, at }
  })

const refuse = Effect.fail(answered("40001"))

describe("Policy", () => {
  it.effect("returns the result of an operation that succeeds", () =>
    Effect.gen(function* () {
      const policy = yield* make()
      assert.strictEqual(yield* policy.run(once, Effect.succeed(7)), 7)
    })
  )

  it.effect("tries a refused operation six times, doubling the delay up to 2 s, then reports the attempts", () =>
    Effect.gen(function* () {
      const policy = yield* make()
      const { at, effect } = script(refuse)
      const { result } = yield* during("30 seconds", policy.run(once, effect))
      assert.deepStrictEqual(
        result,
        Exit.fail(new DbUnavailable({ operation: "Test.write", attempts: 6, cause: answered("40001") }))
      )
      const waits = at.slice(1).map((time, n) => time - (at[n] ?? 0))
      assert.strictEqual(waits.length, 5)
      for (const [n, wait] of waits.entries()) {
        const middle = Math.min(100 * 2 ** n, 2000)
        assert.isAtLeast(wait, middle * 0.75 - 1)
        assert.isAtMost(wait, middle * 1.25 + 1)
      }
    })
  )

  it.effect("succeeds as soon as one attempt does", () =>
    Effect.gen(function* () {
      const policy = yield* make()
      const { at, effect } = script(refuse, refuse, Effect.succeed("done"))
      const { result } = yield* during("10 seconds", policy.run(once, effect))
      assert.deepStrictEqual(result, Exit.succeed("done"))
      assert.strictEqual(at.length, 3)
    })
  )

  it.effect.prop(
    "keeps every delay within the jitter, the floor and the cap",
    {
      n: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60 })),
      random: Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))
    },
    Effect.fnUntraced(function* ({ n, random }) {
      const wait = Policy.delay(yield* standard, n, random)
      assert.isAtLeast(wait, 75)
      assert.isAtMost(wait, 2500)
      const short = Policy.delay({ ...(yield* standard), retryBase: Duration.millis(1) }, 0, random)
      assert.strictEqual(short, 10)
    })
  )

  it.effect("retries a write only when its connection broke before it was sent", () =>
    Effect.gen(function* () {
      const policy = yield* make()
      const sent = script(Effect.fail(broke("query")), Effect.succeed(1))
      const { result } = yield* during("10 seconds", policy.run(once, sent.effect))
      assert.deepStrictEqual(
        result,
        Exit.fail(new DbUnavailable({ operation: "Test.write", attempts: 1, cause: broke("query") }))
      )
      assert.strictEqual(sent.at.length, 1)
      const unsent = script(Effect.fail(broke("connect")), Effect.succeed(1))
      assert.deepStrictEqual((yield* during("10 seconds", policy.run(once, unsent.effect))).result, Exit.succeed(1))
    })
  )

  it.effect("retries an idempotent operation whenever its connection breaks", () =>
    Effect.gen(function* () {
      const policy = yield* make()
      const { effect } = script(Effect.fail(broke("query")), Effect.fail(broke("connect")), Effect.succeed(1))
      assert.deepStrictEqual((yield* during("10 seconds", policy.run(repeatable, effect))).result, Exit.succeed(1))
    })
  )

  it.effect("treats a defect of the client's ROLLBACK as a broken connection", () =>
    Effect.gen(function* () {
      const policy = yield* make()
      const { effect } = script<number>(Effect.die(broke("query")), Effect.succeed(1))
      assert.deepStrictEqual((yield* during("10 seconds", policy.run(repeatable, effect))).result, Exit.succeed(1))
    })
  )

  it.effect("stops an operation after 30 s, and does not retry it", () =>
    Effect.gen(function* () {
      const policy = yield* make()
      const { at, effect } = script<never>(Effect.never)
      const { result, at: end } = yield* during("2 minutes", policy.run(repeatable, effect))
      assert.deepStrictEqual(result, Exit.fail(new DbTimeout({ operation: "Test.read", limit: "statement" })))
      assert.deepStrictEqual([end, at.length], [30_000, 1])
    })
  )

  it.effect("does not retry a statement that the server timed out", () =>
    Effect.gen(function* () {
      const policy = yield* make()
      const { at, effect } = script(Effect.fail(answered("57014")))
      const { result } = yield* during("1 minute", policy.run(repeatable, effect))
      assert.deepStrictEqual(result, Exit.fail(new DbTimeout({ operation: "Test.read", limit: "statement" })))
      assert.strictEqual(at.length, 1)
    })
  )

  it.effect("ends at the deadline, during an attempt or between two", () =>
    Effect.gen(function* () {
      const deadline = Exit.fail(new DbTimeout({ operation: "Test.read", limit: "deadline" }))
      const policy = yield* make({ retries: 100 })
      const slow = script(Effect.andThen(Effect.sleep("7 seconds"), refuse))
      const first = yield* during("61 seconds", policy.run(repeatable, slow.effect))
      assert.deepStrictEqual(first, { result: deadline, at: 60_000 })
      const fast = script(refuse)
      const second = yield* during("61 seconds", policy.run(repeatable, fast.effect))
      assert.deepStrictEqual(second, { result: deadline, at: 61_000 + 60_000 })
      const late = fast.at.filter((time) => time >= 61_000 + 60_000)
      assert.deepStrictEqual(late, [], "no attempt begins after the deadline")
    })
  )

  it.effect("answers in time when a stopped operation is slow to end, and holds its permit until it has ended", () =>
    Effect.gen(function* () {
      const policy = yield* make({ pool: 1 })
      const stubborn = Effect.onInterrupt(Effect.never, () => Effect.sleep("5 seconds"))
      const { at } = yield* during("31 seconds", policy.run(repeatable, stubborn))
      assert.strictEqual(at, 30_000)
      const next = script(Effect.succeed("next"))
      yield* during("10 seconds", policy.run(repeatable, next.effect))
      assert.deepStrictEqual(next.at, [35_000])
    })
  )

  it.effect("counts a statement's 30 s from its permit, and stops waiting for one only at the deadline", () =>
    Effect.gen(function* () {
      const policy = yield* make({ pool: 1, statementTimeout: Duration.seconds(30) })
      yield* Effect.forkChild(policy.run(repeatable, Effect.sleep("29 seconds")))
      yield* Effect.yieldNow
      const second = yield* Effect.forkChild(Effect.exit(policy.run(repeatable, Effect.sleep("29 seconds"))))
      yield* Effect.yieldNow
      const third = yield* Effect.forkChild(
        Effect.all([Effect.exit(policy.run(repeatable, Effect.never)), Effect.clockWith((c) => c.currentTimeMillis)])
      )
      yield* TestClock.adjust("61 seconds")
      assert.deepStrictEqual(yield* Fiber.join(second), Exit.void)
      assert.deepStrictEqual(yield* Fiber.join(third), [
        Exit.fail(new DbTimeout({ operation: "Test.read", limit: "deadline" })),
        60_000
      ])
    })
  )

  it.effect("rejects at once when the queue is full", () =>
    Effect.gen(function* () {
      const policy = yield* make({ pool: 4, waiters: 3 })
      const fibers = yield* Effect.forEach([1, 2, 3, 4, 5], () =>
        Effect.forkChild(policy.run(repeatable, Effect.sleep("1 second")), { startImmediately: true })
      )
      const refused = yield* Effect.flip(policy.run(repeatable, Effect.void))
      assert.deepInclude(refused, { _tag: "DbUnavailable", attempts: 0 })
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.joinAll(fibers)
      yield* policy.run(repeatable, Effect.void)
    })
  )

  it.effect("queues at most 64 operations of a user, and accepts other users'", () =>
    Effect.gen(function* () {
      const policy = yield* make()
      const forUser = (uid: string) => Effect.provideService(DbCaller, callerOf(uid))
      const held = Effect.exit(policy.run(repeatable, Effect.sleep("10 seconds"))).pipe(forUser("ada"))
      const fibers = yield* Effect.forEach(Array.from({ length: 200 }), () =>
        Effect.forkChild(held, { startImmediately: true })
      )
      const refused = fibers.map((fiber) => fiber.pollUnsafe()).filter((exit) => exit !== undefined)
      assert.strictEqual(refused.length, 200 - 64 - 3)
      for (const exit of refused)
        assert.deepStrictEqual(yield* exit, Exit.fail(new DbBusy({ operation: "Test.read", uid: "ada" })))
      const begun = yield* Effect.forkChild(
        policy
          .run(repeatable, Effect.succeed("late"))
          .pipe(Effect.provideService(DbCaller, { ...callerOf("ada"), isStreaming: true })),
        { startImmediately: true }
      )
      assert.isUndefined(begun.pollUnsafe())
      for (const run of [
        policy.run(repeatable, Effect.succeed("in")).pipe(forUser("bob")),
        policy.run(repeatable, Effect.succeed("in")),
        Effect.provideService(policy.run(once, Effect.succeed("in")), DbCaller, ingestCaller),
        Effect.provideService(policy.run(once, Effect.succeed("in")), DbCaller, healthCaller)
      ])
        assert.strictEqual(yield* run, "in")
    })
  )

  it.effect("reserves connections for recording and health checks, even in the smallest pool", () =>
    Effect.gen(function* () {
      for (const pool of [2, 20]) {
        const policy = yield* make({ pool })
        const requests = Array.from({ length: 40 }, (_, n) => (n < 20 ? `user-${n}` : undefined)).map((uid) =>
          policy.run(repeatable, Effect.never).pipe(Effect.provideService(DbCaller, { kind: "request", uid }))
        )
        yield* Effect.forEach(requests, (request) => Effect.forkChild(request, { startImmediately: true }))
        for (const caller of [ingestCaller, healthCaller])
          yield* Effect.provideService(policy.run(once, Effect.void), DbCaller, caller)
        const ingest = Effect.provideService(policy.run(once, Effect.never), DbCaller, ingestCaller)
        yield* Effect.forEach(Array.from({ length: 40 }), () => Effect.forkChild(ingest, { startImmediately: true }))
        yield* Effect.provideService(policy.run(once, Effect.void), DbCaller, healthCaller)
        assert.deepStrictEqual(policy.use(), { active: pool === 2 ? 2 : 19, waiting: 80 - (pool === 2 ? 2 : 19) })
      }
    })
  )

  it.effect("runs one operation of each user in turn, however many one user has queued", () =>
    Effect.gen(function* () {
      const policy = yield* make({ pool: 10 })
      const ended: Array<string> = []
      const begin = (uid: string) =>
        policy.run(repeatable, Effect.sleep("1 second")).pipe(
          Effect.provideService(DbCaller, callerOf(uid)),
          Effect.tap(() => Effect.sync(() => ended.push(uid))),
          (effect) => Effect.forkChild(effect, { startImmediately: true })
        )
      // Five connections are for requests, and one of them for each user.
      yield* Effect.forEach(["a", ..."aaaaaaaaa", ..."bcde", ..."bcde", "f"], begin)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(ended.toSorted(), ["a", "b", "c", "d", "e"])
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(ended.toSorted().join(""), "aaabbccddeef")
    })
  )

  it.effect("frees the queue slot of an interrupted waiter", () =>
    Effect.gen(function* () {
      const policy = yield* make({ pool: 1, waiters: 1 })
      const first = yield* Effect.forkChild(policy.run(repeatable, Effect.never), { startImmediately: true })
      const second = yield* Effect.forkChild(policy.run(repeatable, Effect.never), { startImmediately: true })
      yield* Fiber.interrupt(second)
      yield* Fiber.interrupt(first)
      assert.strictEqual(yield* policy.run(repeatable, Effect.succeed(1)), 1)
    })
  )

  it.effect("stops an operation when its caller is interrupted, and waits until it has ended", () =>
    Effect.gen(function* () {
      const policy = yield* make()
      let ended = false
      const work = Effect.onInterrupt(Effect.never, () =>
        Effect.andThen(
          Effect.sleep("1 second"),
          Effect.sync(() => (ended = true))
        )
      )
      const fiber = yield* Effect.forkChild(policy.run(repeatable, work), { startImmediately: true })
      const stopping = yield* Effect.forkChild(Fiber.interrupt(fiber), { startImmediately: true })
      yield* TestClock.adjust("999 millis")
      assert.isUndefined(stopping.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(stopping)
      assert.isTrue(ended)
    })
  )

  it.effect("dies at once of a defect", () =>
    Effect.gen(function* () {
      const policy = yield* make()
      const { at, effect } = script(Effect.fail(answered("23505")))
      const { result } = yield* during("10 seconds", policy.run(repeatable, effect))
      assert.deepStrictEqual(result, Exit.die(answered("23505")))
      assert.strictEqual(at.length, 1)
    })
  )

  it.effect("fails at once with the caller's own errors", () =>
    Effect.gen(function* () {
      const policy = yield* make()
      assert.strictEqual(yield* Effect.flip(policy.run(repeatable, Effect.fail("mine"))), "mine")
    })
  )
})
