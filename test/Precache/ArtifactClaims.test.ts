/** In which order waiting artifacts are claimed, on a real database. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Layer, References } from "effect"
import { SqlClient } from "effect/sql"
import { Precache } from "../../src/Precache.ts"
import { recordSeconds, world } from "./support/World.ts"

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
})
