/** Jobs run in threads, users take turns, and every job is settled. */
import { assert, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Metric } from "effect"
import { TestClock } from "effect/testing"
import { BulkheadConfig } from "../../src/Bulkhead.ts"
import * as CodecThreads from "../../src/Opus/CodecThreads.ts"
import { packets, samples, sampleRate } from "../Recording/support/OpusTone.ts"
import { environment } from "../support/Settings.ts"

const faulty = new URL("./support/FaultyThread.mjs", import.meta.url)
const [dying, hanging, trapping] = [1, 2, 3]

/** Decodes half a second `times` times. */
const job = (most = samples, times = 1): CodecThreads.Job => {
  const all = Array.from({ length: times }, () => packets).flat()
  const joined = Uint8Array.from(Buffer.concat(all))
  const lengths = Uint16Array.from(all, ({ length }) => length)
  return {
    operation: "decode",
    request: { packets: joined, lengths, sampleRate, samples: most },
    transfer: [joined.buffer, lengths.buffer],
    audioSeconds: 1
  }
}

const config = (env: Record<string, string> = {}) => Layer.provide(BulkheadConfig.layer, environment(env))

const turn = Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void)))

/** Waits in real time, whatever the clock of the test is. */
const until = Effect.fnUntraced(function* (condition: () => boolean) {
  while (!condition()) yield* turn
})

it.effect("leaves the event loop free while it works", () =>
  Effect.gen(function* () {
    const { run } = yield* CodecThreads.make({ threads: 1 })
    yield* run("ada", job())
    const fiber = yield* Effect.forkChild(run("ada", job(samples * 200, 200)), { startImmediately: true })
    let turns = 0
    yield* until(() => ++turns > 0 && fiber.pollUnsafe() !== undefined)
    assert.strictEqual((yield* Fiber.join(fiber)).bytes?.length, samples * 2 * 200)
    assert.isAbove(turns, 20)
  }).pipe(Effect.provide(config()))
)

it.effect("fails the job of a thread that dies, and starts another one for the next", () =>
  Effect.gen(function* () {
    const { run } = yield* CodecThreads.make({ threads: 1, script: faulty })
    for (let attempt = 0; attempt < 3; attempt++) {
      const failure = yield* Effect.flip(run("ada", job(dying)))
      assert.strictEqual(failure._tag, "CodecFailed")
      assert.include(String(failure), "the thread has exited")
      assert.strictEqual((yield* run("ada", job())).bytes?.length, samples * 2)
    }
  }).pipe(Effect.provide(config()))
)

it.effect("ends a thread whose codec traps, instead of rejecting the packet", () =>
  Effect.gen(function* () {
    const { run } = yield* CodecThreads.make({ threads: 1, script: faulty })
    const failure = yield* Effect.flip(run("ada", job(trapping)))
    assert.strictEqual(failure._tag, "CodecFailed")
    assert.include(String(failure), "unreachable")
    assert.strictEqual((yield* run("ada", job())).bytes?.length, samples * 2)
  }).pipe(Effect.provide(config()))
)

it.effect("ends a thread that hangs after 10 seconds, fails its job, and serves those that waited", () =>
  Effect.gen(function* () {
    const { run } = yield* CodecThreads.make({ threads: 1, script: faulty })
    yield* run("ada", job())
    const hung = yield* Effect.forkChild(Effect.flip(run("ada", job(hanging))), { startImmediately: true })
    const waiting = yield* Effect.forkChild(run("grace", job()), { startImmediately: true })
    yield* turn
    yield* TestClock.adjust("9 seconds")
    assert.isUndefined(hung.pollUnsafe())
    yield* TestClock.adjust("1 second")
    assert.match(String(yield* Fiber.join(hung)), /can't decode Opus: .* not responded for 10s/)
    assert.strictEqual((yield* Fiber.join(waiting)).bytes?.length, samples * 2)
  }).pipe(Effect.provide(config()))
)

it.effect("lets an interrupted caller go at once, finishes its job, and drops a job that has not begun", () =>
  Effect.gen(function* () {
    const { run } = yield* CodecThreads.make({ threads: 1, script: faulty })
    yield* run("ada", job())
    const running = yield* Effect.forkChild(run("ada", job(samples * 200, 200)), { startImmediately: true })
    const waiting = yield* Effect.forkChild(run("ada", job(dying)), { startImmediately: true })
    const next = yield* Effect.forkChild(run("ada", job()), { startImmediately: true })
    yield* turn
    yield* Fiber.interrupt(waiting)
    yield* Fiber.interrupt(running)
    assert.isUndefined(next.pollUnsafe())
    assert.strictEqual((yield* Fiber.join(next)).bytes?.length, samples * 2)
  }).pipe(Effect.provide(config()))
)

it.effect("serves users in turn, and rejects more than may wait", () =>
  Effect.gen(function* () {
    const { run } = yield* CodecThreads.make({ threads: 1 })
    const order: Array<string> = []
    const start = (uid: string) =>
      Effect.forkChild(
        Effect.tap(run(uid, job()), () => Effect.sync(() => order.push(uid))),
        { startImmediately: true }
      )
    const fibers = yield* Effect.forEach(["ada", "ada", "ada", "ada", "grace"], start)
    yield* until(() => fibers.every((fiber) => fiber.pollUnsafe() !== undefined))
    const exits = yield* Effect.forEach(fibers, Fiber.await)
    assert.deepStrictEqual(exits.map(Exit.isSuccess), [true, true, true, false, true])
    assert.deepStrictEqual(order, ["ada", "ada", "grace", "ada"])
  }).pipe(Effect.provide(config({ BULKHEAD_WAITING_PER_USER: "2" })))
)

const threads = Effect.map(Metric.snapshot, (all) => {
  const state = all.find(({ id }) => id === "spillway_codec_threads")?.state
  return state !== undefined && "value" in state ? state.value : 0
})

it.effect("starts threads on demand, and ends them when they are idle and with its scope", () =>
  Effect.gen(function* () {
    const threadsAre = Effect.fnUntraced(function* (expected: number) {
      while ((yield* threads) !== expected) yield* turn
    })
    yield* threadsAre(0)
    yield* Effect.gen(function* () {
      const { run } = yield* CodecThreads.make({ threads: 2 })
      assert.strictEqual(yield* threads, 0)
      const both = Effect.suspend(() => Effect.all([run("ada", job()), run("ada", job())], { concurrency: 2 }))
      yield* both
      assert.strictEqual(yield* threads, 2)
      yield* TestClock.adjust("3 minutes")
      yield* threadsAre(0)
      yield* both
      assert.strictEqual(yield* threads, 2)
    }).pipe(Effect.scoped)
    yield* threadsAre(0)
  }).pipe(Effect.provide(config()))
)
