/** The memory of `src/Recording/Upload/ChunkObject.ts`: however many chunks wait, few are in it. */
import { assert, it } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import { outageUploads } from "../../../src/Recording/Upload/UploadQueue.ts"
import { Uploads } from "../../../src/Recording/Upload/Uploads.ts"
import type { NewObject, StorageUnavailable } from "../../../src/Storage.ts"
import {
  type Hooks,
  idle,
  inWorld,
  liveChunks,
  node,
  record,
  storedOf,
  sweep,
  unavailable
} from "../support/StoringNode.ts"
import { temporaryDirectory } from "../../support/TemporaryDirectory.ts"

it.live("holds the audio of four chunks at most once the store has them, however long their rows take", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const chunks = 6
    const [allPut, allStored, database] = [
      yield* Deferred.make<void>(),
      yield* Deferred.make<void>(),
      yield* Deferred.make<void>()
    ]
    const bodies: Array<Uint8Array> = []
    let rows = 0
    const hooks: Hooks = {
      put: (put, _key, body) => {
        if (body instanceof Uint8Array && bodies.push(body) === chunks) Deferred.doneUnsafe(allPut, Effect.void)
        return Effect.andThen(Deferred.await(allPut), put)
      },
      row: (row) =>
        Effect.suspend(() => {
          if (++rows === chunks) Deferred.doneUnsafe(allStored, Effect.void)
          return Effect.andThen(Deferred.await(database), row)
        })
    }
    yield* Effect.gen(function* () {
      for (let index = 0; index < chunks; index++) yield* record(800, 0, `c${index}`)
      yield* Deferred.await(allStored)
      assert.strictEqual(bodies.filter(({ length }) => length > 0).length, 4)
      yield* Deferred.succeed(database, undefined)
      yield* idle
      assert.strictEqual(yield* liveChunks, 0)
      assert.strictEqual(yield* storedOf("u"), chunks)
    }).pipe(Effect.provide(node(dataDir, hooks)))
  }).pipe(inWorld)
)

it.live("reads what failed into the same memory again, in two uploads at a time until one succeeds", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const chunks = 6
    const buffers = new Set<ArrayBufferLike>()
    const state = { down: true, puts: 0, allPut: yield* Deferred.make<void>() }
    const put = <A, E>(
      put: Effect.Effect<A, E>,
      _key: string,
      body: NewObject["body"]
    ): Effect.Effect<A, E | StorageUnavailable> => {
      if (body instanceof Uint8Array) buffers.add(body.buffer)
      if (++state.puts % chunks === 0) Deferred.doneUnsafe(state.allPut, Effect.void)
      return Deferred.await(state.allPut).pipe(
        Effect.andThen(Effect.suspend((): Effect.Effect<A, E | StorageUnavailable> => (state.down ? unavailable : put)))
      )
    }
    yield* Effect.gen(function* () {
      for (let index = 0; index < chunks; index++) yield* record(800, 0, `c${index}`)
      yield* idle
      assert.deepStrictEqual([state.puts, buffers.size], [chunks, chunks])
      const uploads = yield* Uploads
      for (let round = 0; round < 3; round++) {
        yield* uploads.sweep
        assert.strictEqual(uploads.stats().active, outageUploads)
        yield* uploads.idle
      }
      assert.deepStrictEqual([state.puts, buffers.size], [4 * chunks, chunks])
      state.down = false
      yield* sweep
      assert.strictEqual(yield* liveChunks, 0)
      assert.strictEqual(yield* storedOf("u"), chunks)
      state.allPut = yield* Deferred.make<void>()
      for (let index = 0; index < chunks; index++) yield* record(800, 0, `d${index}`)
      yield* idle
      assert.strictEqual(yield* storedOf("u"), 2 * chunks)
    }).pipe(Effect.provide(node(dataDir, { put })))
  }).pipe(inWorld)
)

it.live("reads chunks into memory apart from the C heap, which keeps what it once took from the system", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const areResizable: Array<boolean> = []
    const put: Hooks["put"] = (put, _key, body) => {
      if (body instanceof Uint8Array) areResizable.push(body.buffer instanceof ArrayBuffer && body.buffer.resizable)
      return put
    }
    yield* Effect.gen(function* () {
      for (let index = 0; index < 6; index++) yield* record(800, 0, `c${index}`)
      yield* idle
      assert.deepStrictEqual(
        areResizable,
        Array.from({ length: 6 }, () => true)
      )
      assert.strictEqual(yield* storedOf("u"), 6)
    }).pipe(Effect.provide(node(dataDir, { put })))
  }).pipe(inWorld)
)
