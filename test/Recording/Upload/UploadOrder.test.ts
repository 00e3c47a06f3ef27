/** Concurrent uploads of one conversation by `src/Recording/Upload/Uploads.ts`. */
import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Option } from "effect"
import { Recording } from "../../../src/Recording.ts"
import { StorageUnavailable } from "../../../src/Storage.ts"
import { epoch, idle, inWorld, liveChunks, node, rate, record, sweep } from "../support/StoringNode.ts"
import { temporaryDirectory } from "../../support/TemporaryDirectory.ts"

const down = new StorageUnavailable({ operation: "put", bucket: "b", key: "k", cause: "down" })

/** Two chunks wait in the journal, for a store that was down. The put of the first waits for `until`. */
const twoWait = (until: Effect.Effect<unknown>) => {
  const store = { isDown: true }
  const put = <A, E>(put: Effect.Effect<A, E>, key: string): Effect.Effect<A, E | StorageUnavailable> =>
    Effect.suspend((): Effect.Effect<A, E | StorageUnavailable> => {
      if (store.isDown) return down
      return key.includes(`/${epoch}.000`) ? Effect.andThen(until, put) : put
    })
  const wait = Effect.gen(function* () {
    yield* record(rate)
    yield* record(rate, rate)
    yield* idle
    assert.strictEqual(yield* liveChunks, 2)
    store.isDown = false
  })
  return { put, wait }
}

const fileOf = Effect.gen(function* () {
  const recording = yield* Recording
  const { files } = Option.getOrThrow(yield* recording.conversation("u", "c", { files: 2 }))
  assert.strictEqual(files.length, 1)
  return Option.getOrThrow(yield* recording.file("u", "c", files[0]?.id ?? ""))
})

it.live("does not change a listener's file when a later chunk is stored before an earlier one", () =>
  Effect.gen(function* () {
    const written = yield* Deferred.make<void>()
    const row = <A, E>(row: Effect.Effect<A, E>) => Effect.tap(row, () => Deferred.succeed(written, undefined))
    const { put, wait } = twoWait(Effect.timeoutOption(Deferred.await(written), "200 millis"))
    yield* Effect.gen(function* () {
      yield* wait
      const opened = yield* fileOf
      yield* opened.pieces(0, 1)
      yield* sweep
      assert.strictEqual(yield* liveChunks, 0)
      assert.strictEqual((yield* fileOf).version, opened.version)
      assert.strictEqual((yield* opened.pieces(1, 2 * rate)).end, 2 * rate)
    }).pipe(Effect.provide(node(yield* temporaryDirectory, { put, row })))
  }).pipe(inWorld)
)

it.live("stores a later chunk while the upload of an earlier one hangs and dies", () =>
  Effect.gen(function* () {
    const hung = yield* Deferred.make<void>()
    const { put, wait } = twoWait(Effect.andThen(Deferred.await(hung), Effect.die("a bug")))
    yield* Effect.gen(function* () {
      yield* wait
      yield* Effect.forkChild(sweep)
      while ((yield* liveChunks) > 1) yield* Effect.yieldNow
      yield* Deferred.succeed(hung, undefined)
      yield* idle
      assert.strictEqual(yield* liveChunks, 1)
    }).pipe(Effect.provide(node(yield* temporaryDirectory, { put })))
  }).pipe(inWorld)
)
