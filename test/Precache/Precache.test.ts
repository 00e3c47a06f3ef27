/** `src/Precache` on a real database: their bytes, what is deleted when, and what every failure leaves. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, type Layer, Ref, References } from "effect"
import { SqlClient } from "effect/sql"
import { Precache } from "../../src/Precache.ts"
import { Storage, StorageRefused, StorageUnavailable } from "../../src/Storage.ts"
import { Erasure } from "../../src/Recording.ts"
import { Deletion } from "../../src/Deletion.ts"
import {
  bytesOf,
  doomed,
  Hooks,
  merged,
  recordSeconds,
  rows,
  sweep,
  wav,
  world,
  type WorldOptions
} from "./support/World.ts"

const request = Precache.use((precache) => precache.request("u", "c", "wav"))

const inWorld = <A, E>(test: Effect.Effect<A, E, Layer.Success<ReturnType<typeof world>>>, options?: WorldOptions) =>
  test.pipe(Effect.provide(world(options)), Effect.scoped, Effect.provideService(References.MinimumLogLevel, "None"))

/** The only row, which must have an artifact. */
const made = Effect.gen(function* () {
  const [row, ...more] = yield* rows
  assert.deepStrictEqual(more, [])
  if (row === undefined || row.key === null) return assert.fail(`no artifact: ${JSON.stringify(row)}`)
  return { ...row, key: row.key }
})

const tombstonesBefore = Effect.gen(function* () {
  const { making } = yield* Hooks
  const early: Array<string> = []
  const context = yield* Effect.context<SqlClient.SqlClient>()
  yield* Ref.set(making, (key, making) =>
    doomed.pipe(
      Effect.provideContext(context),
      Effect.orDie,
      Effect.flatMap((known) => {
        if (!known.has(key)) early.push(key)
        return making
      })
    )
  )
  return early
})

describe("an artifact", () => {
  it.live("is composed of the chunks without reading them, and equals what the audio route sends", () =>
    inWorld(
      Effect.gen(function* () {
        for (let at = 0; at < 70; at += 2) yield* recordSeconds(at, at + 1)
        const undoomed = yield* tombstonesBefore
        const { reads } = yield* Hooks
        yield* Ref.set(reads, [])
        yield* request
        yield* sweep
        const { file, fingerprint, key } = yield* made
        assert.deepStrictEqual(yield* Ref.get(reads), [])
        const { bytes, etag } = yield* wav(file)
        assert.match(key, new RegExp(`^merged/u/c/${file}-[0-9a-f]{8}\\.wav$`))
        assert.strictEqual(fingerprint, etag)
        assert.isTrue(bytes.equals(yield* bytesOf(key)))
        assert.deepStrictEqual(undoomed, [])
        const minutes = yield* doomed
        assert.strictEqual(minutes.get(key), 3 * 24 * 60)
        assert.deepStrictEqual(
          (yield* merged).filter((each) => each !== key && minutes.get(each) !== 1),
          []
        )
      })
    )
  )

  it.live("is streamed where the store can't compose", () =>
    inWorld(
      Effect.gen(function* () {
        yield* recordSeconds(0, 3)
        yield* recordSeconds(5, 6)
        const undoomed = yield* tombstonesBefore
        yield* request
        yield* sweep
        const { file, key } = yield* made
        assert.isTrue((yield* wav(file)).bytes.equals(yield* bytesOf(key)))
        assert.deepStrictEqual([yield* merged, undoomed], [[key], []])
      }),
      { isComposer: false }
    )
  )

  it.live("is made once, however often it is requested", () =>
    inWorld(
      Effect.gen(function* () {
        yield* recordSeconds(0, 1)
        yield* Effect.all(
          Array.from({ length: 20 }, () => request),
          { concurrency: 20 }
        )
        yield* sweep
        const first = yield* made
        yield* request
        yield* sweep
        assert.deepStrictEqual(yield* made, first)
      })
    )
  )

  it.live("is made again for another fingerprint, and the old one stays while its URLs live", () =>
    inWorld(
      Effect.gen(function* () {
        yield* recordSeconds(0, 1)
        yield* request
        yield* sweep
        const old = yield* made
        yield* recordSeconds(1, 2)
        yield* request
        yield* sweep
        const { file, key } = yield* made
        assert.notStrictEqual(key, old.key)
        assert.isTrue((yield* wav(file)).bytes.equals(yield* bytesOf(key)))
        const minutes = yield* doomed
        assert.deepStrictEqual([minutes.get(old.key), minutes.get(key)], [60, 3 * 24 * 60])
      })
    )
  )

  it.live("is not made of encrypted audio", () =>
    inWorld(
      Effect.gen(function* () {
        yield* recordSeconds(0, 1)
        yield* request
        yield* sweep
        assert.deepStrictEqual([yield* rows, yield* merged], [[], []])
      }),
      { level: "enhanced" }
    )
  )

  for (const isComposer of [true, false])
    it.live(`never has a hole for a missing chunk, ${isComposer ? "composed" : "streamed"}`, () =>
      inWorld(
        Effect.gen(function* () {
          yield* recordSeconds(0, 1)
          yield* recordSeconds(2, 3)
          const storage = yield* Storage
          const [chunk] = (yield* storage.list("chunks/")).objects
          yield* storage.remove(chunk?.key ?? "")
          yield* request
          yield* sweep
          const [row] = yield* rows
          assert.deepStrictEqual(
            [row?.key, row?.reason, row?.attempts, row?.isWanted],
            [null, "chunks_missing", 1, true]
          )
          const minutes = yield* doomed
          assert.deepStrictEqual(
            (yield* merged).filter((key) => minutes.get(key) !== 1 || key.endsWith(".wav")),
            []
          )
        }),
        { isComposer }
      )
    )

  it.live("is streamed on request where the store refuses to compose", () =>
    inWorld(
      Effect.gen(function* () {
        yield* recordSeconds(0, 1)
        const { making } = yield* Hooks
        const refused = new StorageRefused({ operation: "compose", bucket: "b", key: "k", reason: "no" })
        let isFirst = true
        yield* Ref.set(making, (key, making) =>
          Effect.suspend(() => {
            if (!key.endsWith(".wav") || !isFirst) return making
            isFirst = false
            return refused
          })
        )
        yield* request
        yield* sweep
        const { file, key } = yield* made
        assert.isTrue((yield* wav(file)).bytes.equals(yield* bytesOf(key)))
      })
    )
  )

  it.live("is tried again after a failure of the store", () =>
    inWorld(
      Effect.gen(function* () {
        yield* recordSeconds(0, 1)
        const { making } = yield* Hooks
        const down = new StorageUnavailable({ operation: "compose", bucket: "b", key: "k", cause: "down" })
        yield* Ref.set(making, () => down)
        yield* request
        yield* sweep
        const [failed] = yield* rows
        assert.deepStrictEqual([failed?.key, failed?.reason, failed?.attempts], [null, "merge_failed", 1])
        yield* Ref.set(making, (_key, making) => making)
        yield* sweep
        const { file, key, reason } = yield* made
        assert.isNull(reason)
        assert.isTrue((yield* wav(file)).bytes.equals(yield* bytesOf(key)))
      })
    )
  )

  it.live("is made only while the disk has more free space than is left to recordings", () =>
    inWorld(
      Effect.gen(function* () {
        yield* recordSeconds(0, 1)
        yield* recordSeconds(1_000, 1_001)
        const { free, making } = yield* Hooks
        const bytes = 44 + 2 * 8_000
        yield* Ref.set(free, 1024 ** 3 + bytes - 1)
        yield* request
        yield* sweep
        const outcomes = Effect.map(rows, (all) =>
          all.map(({ attempts, key, reason }) => [attempts, key === null, reason])
        )
        const failed = [1, true, "merge_failed"]
        assert.deepStrictEqual([yield* outcomes, yield* merged], [[failed, failed], []])
        // Enough for one: the other one is begun while it is put.
        yield* Ref.set(free, 1024 ** 3 + 2 * bytes - 1)
        const [begun, ended] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        yield* Ref.set(making, (_key, making) =>
          Deferred.succeed(begun, undefined).pipe(Effect.andThen(Deferred.await(ended)), Effect.andThen(making))
        )
        const sweeping = yield* Effect.forkChild(sweep)
        yield* Deferred.await(begun)
        const sql = yield* SqlClient.SqlClient
        while ((yield* sql`select from artifacts where attempts = 2`).length === 0) yield* Effect.sleep("10 millis")
        yield* Deferred.succeed(ended, undefined)
        yield* Fiber.join(sweeping)
        assert.deepStrictEqual((yield* outcomes).toSorted(), [
          [0, false, null],
          [2, true, "merge_failed"]
        ])
      }),
      { isComposer: false }
    )
  )

  it.live("of a conversation that is purged meanwhile is not published, and its objects are deleted", () =>
    inWorld(
      Effect.gen(function* () {
        yield* recordSeconds(0, 1)
        const { making } = yield* Hooks
        const [reached, purged] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        yield* Ref.set(making, (key, making) =>
          key.endsWith(".wav")
            ? Deferred.succeed(reached, undefined).pipe(Effect.andThen(Deferred.await(purged)), Effect.andThen(making))
            : making
        )
        yield* request
        const sweeping = yield* Effect.forkChild(sweep)
        yield* Deferred.await(reached)
        const deletion = yield* Deletion
        yield* Erasure.use((erasure) => erasure.eraseBatch({ uid: "u", conversation: "c" })).pipe(
          Effect.provide(Erasure.layer)
        )
        yield* deletion.removeUnder("merged/u/c/", 500)
        const hastened = yield* doomed
        assert.isAtLeast(hastened.size, 2)
        assert.isTrue([...hastened.values()].every((minutes) => minutes <= 60))
        yield* Deferred.succeed(purged, undefined)
        yield* Fiber.join(sweeping)
        assert.deepStrictEqual(yield* rows, [])
        const minutes = yield* doomed
        assert.deepStrictEqual(
          (yield* merged).filter((key) => minutes.get(key) !== 1),
          []
        )
      })
    )
  )
})

describe("a conversation that has ended", () => {
  const settled = Effect.gen(function* () {
    const { settle } = yield* Precache
    const sql = yield* SqlClient.SqlClient
    yield* sql`update conversation_ends set due_at = now()`
    yield* settle
    return (yield* sql`select from conversation_ends`).length
  })

  it.live("is merged when no audio was stored between two looks", () =>
    inWorld(
      Effect.gen(function* () {
        yield* recordSeconds(0, 1)
        assert.strictEqual(yield* settled, 1)
        yield* recordSeconds(1, 2)
        assert.strictEqual(yield* settled, 1)
        assert.deepStrictEqual(yield* rows, [])
        assert.strictEqual(yield* settled, 0)
        yield* sweep
        const { file, key } = yield* made
        assert.isTrue((yield* wav(file)).bytes.equals(yield* bytesOf(key)))
      })
    )
  )

  it.live("has only those audio files merged that were recorded since it ended before", () =>
    inWorld(
      Effect.gen(function* () {
        yield* recordSeconds(0, 1)
        yield* settled
        yield* settled
        yield* sweep
        const before = yield* made
        yield* SqlClient.SqlClient.use((sql) => sql`delete from artifacts`)
        yield* recordSeconds(1_000, 1_001)
        yield* settled
        yield* settled
        assert.notStrictEqual((yield* rows)[0]?.file, before.file)
        assert.lengthOf(yield* rows, 1)
      })
    )
  )

  for (const [why, options] of [
    ["the store can't compose", { isComposer: false }],
    ["merging is left to requests", { env: { SPILLWAY_PRECACHE: "requested" } }]
  ] as const)
    it.live(`is not merged where ${why}`, () =>
      inWorld(
        Effect.gen(function* () {
          yield* recordSeconds(0, 1)
          yield* settled
          assert.strictEqual(yield* settled, 0)
          assert.deepStrictEqual(yield* rows, [])
        }),
        options
      )
    )

  it.live("is not merged if that would read its audio, until it is requested", () =>
    inWorld(
      Effect.gen(function* () {
        yield* recordSeconds(0, 2)
        yield* SqlClient.SqlClient.use((sql) => sql`update chunks set bytes = bytes + 2`)
        yield* settled
        yield* settled
        yield* sweep
        assert.deepStrictEqual([yield* rows, yield* merged], [[], []])
        yield* request
        yield* sweep
        const { file, key } = yield* made
        assert.isTrue((yield* wav(file)).bytes.equals(yield* bytesOf(key)))
      })
    )
  )
})
