/** The limit of `src/Recording/Upload/UploadQueue.ts`: uploads slow down before acknowledgements do, and never stop. */
import { assert, it } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import { Journal } from "../../../src/Recording/Journal/Journal.ts"
import { lateMillis, UploadLimit } from "../../../src/Recording/Upload/UploadQueue.ts"
import { Uploads } from "../../../src/Recording/Upload/Uploads.ts"
import { idle, inWorld, node, record, rowCount } from "../support/StoringNode.ts"
import { temporaryDirectory } from "../../support/TemporaryDirectory.ts"

const late = lateMillis + 1

it("halves the limit after a late commit, and raises it by one after each commit in time", () => {
  const pace = new UploadLimit(16)
  const limits = [0, late, late, 0, 0, late].map((lateBy) => {
    pace.committed(lateBy)
    return pace.limit(0, false)
  })
  assert.deepStrictEqual(limits, [16, 8, 4, 5, 6, 3])
  for (let commit = 0; commit < 20; commit++) pace.committed(late)
  assert.strictEqual(pace.limit(0, false), 1)
  for (let commit = 0; commit < 20; commit++) pace.committed(0)
  assert.strictEqual(pace.limit(0, false), 16)
})

it("allows one upload while a commit is late, and the maximum when the journal is nearly full", () => {
  const pace = new UploadLimit(16)
  assert.strictEqual(pace.limit(late, false), 1)
  assert.strictEqual(pace.limit(late, true), 16)
  assert.strictEqual(pace.limit(0, false), 16)
})

it("allows two uploads after one that failed in an outage, also when the journal is nearly full, until one succeeds", () => {
  const pace = new UploadLimit(16)
  pace.failed()
  assert.deepStrictEqual([pace.limit(0, false), pace.limit(0, true), pace.limit(late, false)], [2, 2, 1])
  pace.succeeded()
  assert.strictEqual(pace.limit(0, false), 16)
  const small = new UploadLimit(1)
  small.failed()
  assert.strictEqual(small.limit(0, true), 1)
})

it.live("runs one upload while a commit is late, more after each commit in time, and stores every chunk", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const started = yield* Deferred.make<void>()
    const state = { active: 0, most: 0, lateBy: 0 }
    const put = <A, E>(put: Effect.Effect<A, E>): Effect.Effect<A, E> =>
      Effect.acquireUseRelease(
        Effect.sync(() => {
          state.most = Math.max(state.most, ++state.active)
        }),
        () => Effect.andThen(Deferred.await(started), put),
        () => Effect.sync(() => state.active--)
      )
    yield* Effect.gen(function* () {
      const journal = yield* Journal
      const uploads = yield* Uploads
      const recordFour = (from: number) =>
        Effect.forEach([0, 1, 2, 3], (index) => record(800, (from + index) * 800, `c${from + index}`))
      state.lateBy = late
      yield* recordFour(0)
      assert.strictEqual(uploads.stats().active, 1)
      state.lateBy = 0
      // One more after each commit.
      while (uploads.stats().active < 4) yield* journal.commit
      yield* recordFour(4)
      state.lateBy = late
      yield* Deferred.succeed(started, undefined)
      yield* idle
      assert.strictEqual(yield* rowCount, 8)
      assert.isAtLeast(state.most, 4)
    }).pipe(Effect.provide(node(dataDir, { put, lateBy: () => state.lateBy })))
  }).pipe(inWorld)
)
