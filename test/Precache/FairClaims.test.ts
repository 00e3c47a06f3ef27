/** `src/FairClaims.ts` with artifacts, on a real database: the order of claims, and claims of nodes that end. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, type Layer, Ref, References } from "effect"
import { SqlClient } from "effect/sql"
import { Precache } from "../../src/Precache.ts"
import { Hooks, otherNode, recordSeconds, world } from "./support/World.ts"

const inWorld = <A, E>(test: Effect.Effect<A, E, Layer.Success<ReturnType<typeof world>>>) =>
  test.pipe(Effect.provide(world()), Effect.scoped, Effect.provideService(References.MinimumLogLevel, "None"))

/** Waiting rows of a user, due for an hour, of audio files that don't exist. */
const wait = Effect.fnUntraced(function* (uid: string, count: number) {
  const sql = yield* SqlClient.SqlClient
  yield* sql`insert into conversations (uid, id) values (${uid}, 'c')`
  yield* sql`
    insert into artifacts (uid, conversation_id, file, format, requested, due_at)
    select ${uid}, 'c', gen_random_uuid()::text, 'wav', true, now() - interval '1 hour' from generate_series(1, ${count}::int)`
  yield* sql`insert into artifact_turns (uid, due_at) values (${uid}, now() - interval '1 hour')`
  yield* sql`analyze artifacts`
})

/** Sweeps until the file of user `u` is merged. */
const sweepsUntilMerged = Effect.gen(function* () {
  const precache = yield* Precache
  for (let sweeps = 1; sweeps <= 20; sweeps++) {
    yield* precache.sweep
    yield* precache.idle
    const merged = yield* SqlClient.SqlClient.use(
      (sql) => sql`select from artifacts where uid = 'u' and key is not null`
    )
    if (merged.length > 0) return sweeps
  }
  return Infinity
})

describe("claims of artifacts", () => {
  it.live("merge the only file of a user within a few turns, with 50,000 files of another user before it", () =>
    inWorld(
      Effect.gen(function* () {
        yield* wait("crowd", 50_000)
        yield* recordSeconds(0, 1)
        yield* Precache.use((precache) => precache.request("u", "c", "wav"))
        assert.isAtMost(yield* sweepsUntilMerged, 4)
      })
    )
  )

  const failures = SqlClient.SqlClient.use(
    (sql) => sql<{
      readonly attempts: number
      readonly reason: string | null
      readonly wait: number | null
      readonly made: boolean
    }>`
      select attempts, reason, round(extract(epoch from due_at - now()))::int as wait, key is not null as made from artifacts`
  )

  /** As a node leaves it that was killed during the merge, after so many failures. */
  const leaveKilled = (attempts: number) =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`update artifacts set attempts = ${attempts}, token = gen_random_uuid(), due_at = now()`
      yield* sql`update artifact_turns set due_at = now()`
    })

  it.live("repeat the merge of a killed node at once, then with backoff, and give it up after 20 of them", () =>
    inWorld(
      Effect.gen(function* () {
        const { idle, request, sweep } = yield* Precache
        yield* recordSeconds(0, 1)
        yield* request("u", "c", "wav")
        const afterKill = (attempts: number) =>
          Effect.andThen(leaveKilled(attempts), sweep).pipe(Effect.andThen(idle), Effect.andThen(failures))
        for (const [before, after, wait] of [
          [1, 2, 2],
          [18, 19, 3_600]
        ] as const)
          assert.deepStrictEqual(yield* afterKill(before), [
            { attempts: after, reason: "merge_failed", wait, made: false }
          ])
        assert.deepStrictEqual(yield* afterKill(19), [
          { attempts: 20, reason: "merge_failed", wait: null, made: false }
        ])
        yield* request("u", "c", "wav")
        assert.deepStrictEqual(yield* afterKill(0), [{ attempts: 0, reason: null, wait: null, made: true }])
      })
    )
  )

  it.live("return at once to a file in backoff that is requested, and leave one that is being merged", () =>
    inWorld(
      Effect.gen(function* () {
        const { idle, request, sweep } = yield* Precache
        const sql = yield* SqlClient.SqlClient
        yield* recordSeconds(0, 1)
        yield* request("u", "c", "wav")
        const later = { attempts: 12, reason: "merge_failed", wait: 3_600, made: false }
        const delay = sql`update artifacts set attempts = 12, reason = 'merge_failed', due_at = now() + interval '1 hour'`
        yield* delay
        yield* sql`update artifacts set token = gen_random_uuid()`
        yield* request("u", "c", "wav")
        assert.deepStrictEqual(yield* failures, [later])
        yield* sql`update artifacts set token = null`
        yield* sql`update artifact_turns set due_at = now() + interval '1 hour'`
        yield* request("u", "c", "wav")
        assert.deepStrictEqual(yield* failures, [{ ...later, wait: 0 }])
        yield* sweep
        yield* idle
        assert.deepStrictEqual(yield* failures, [{ attempts: 0, reason: null, wait: null, made: true }])
      })
    )
  )

  it.live("end with their node without a failure, and another one merges at once", () =>
    inWorld(
      Effect.gen(function* () {
        const { making } = yield* Hooks
        const { idle, request, sweep } = yield* Precache
        yield* recordSeconds(0, 1)
        yield* request("u", "c", "wav")
        const reached = yield* Deferred.make<void>()
        yield* Ref.set(making, () => Effect.andThen(Deferred.succeed(reached, undefined), Effect.never))
        yield* Effect.gen(function* () {
          yield* Precache.use((other) => other.sweep)
          yield* Deferred.await(reached)
        }).pipe(Effect.provide(otherNode))
        assert.deepStrictEqual(yield* failures, [{ attempts: 0, reason: null, wait: 0, made: false }])
        yield* Ref.set(making, (_key, making) => making)
        yield* sweep
        yield* idle
        assert.deepStrictEqual(yield* failures, [{ attempts: 0, reason: null, wait: null, made: true }])
      })
    )
  )
})
