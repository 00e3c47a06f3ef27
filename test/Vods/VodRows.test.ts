/** `src/Vods/VodRows.ts`: the purge of a deleted VOD, and broadcasts that begin with the same conversation. */
import { assert, layer } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, Layer, Option } from "effect"
import { SqlClient } from "effect/sql"
import { Db } from "../../src/Db.ts"
import { PurgeRows } from "../../src/Purges/PurgeRows.ts"
import { BroadcastRows } from "../../src/Streams/Broadcasts/BroadcastRows.ts"
import { JobRows } from "../../src/Vods/Jobs/JobRows.ts"
import { VodRows } from "../../src/Vods/VodRows.ts"
import * as World from "../Streams/support/World.ts"

const world = Layer.mergeAll(VodRows.layer, JobRows.layer, PurgeRows.layer).pipe(Layer.provideMerge(World.layer))

/** Requests the purge of a deleted VOD's recording, as `Vods` does. */
const purge = (conversation: string) =>
  Effect.gen(function* () {
    const [vods, purges] = [yield* VodRows, yield* PurgeRows]
    const unused = vods.isUnused({ id: "0", uid: "owner", conversation })
    return yield* purges.requestIf({ uid: "owner", conversation }, Duration.zero, unused)
  })

const entry = (stream: number, conversation: string) => ({
  stream,
  keyHash: World.keyHashOf(stream),
  capture: "00000000-0000-4000-8000-000000000001",
  conversation,
  proposed: "none",
  age: 0
})

const stream = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<{ readonly id: number }>`
    insert into streams (uid, slug, title) values ('owner', 'slug-' || gen_random_uuid(), 'T') returning id::float8 as id`
  const id = row?.id ?? 0
  yield* World.keyed(id)
  return id
})

layer(world, { excludeTestServices: true })("The purge of a deleted VOD", (it) => {
  it.effect("waits for a broadcast that begins with its conversation, and then leaves the recording alone", () =>
    Effect.gen(function* () {
      const [db, sql, { enter }] = [yield* Db, yield* SqlClient.SqlClient, yield* BroadcastRows]
      const id = yield* stream
      const [entered, released] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const entering = yield* db
        .transaction("test.enter", () =>
          enter(entry(id, "talk")).pipe(
            Effect.andThen(Deferred.succeed(entered, undefined)),
            Effect.andThen(Deferred.await(released)),
            Effect.orDie
          )
        )
        .pipe(Effect.forkChild)
      yield* Deferred.await(entered)
      const purging = yield* Effect.forkChild(purge("talk"))
      const waiting = sql`select 1 from pg_locks where locktype = 'advisory' and not granted`
      yield* Effect.repeat(waiting, { until: (rows) => rows.length > 0 || purging.pollUnsafe() !== undefined })
      yield* Deferred.succeed(released, undefined)
      yield* Fiber.join(entering)
      assert.isTrue(Option.isNone(yield* Fiber.join(purging)))
    })
  )

  it.effect("is requested once the broadcasts with its conversation have VODs", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { enter } = yield* BroadcastRows
      yield* enter(entry(yield* stream, "later"))
      assert.isTrue(Option.isNone(yield* purge("later")))
      yield* sql`update broadcasts set ended_at = now(), has_vod = true where conversation = 'later'`
      assert.isTrue(Option.isSome(yield* purge("later")))
    })
  )
})

layer(world, { excludeTestServices: true })("A VOD", (it) => {
  it.effect("that becomes ready while it is deleted is announced when it is restored, once", () =>
    Effect.gen(function* () {
      const [sql, jobs, vods, { enter }] = [
        yield* SqlClient.SqlClient,
        yield* JobRows,
        yield* VodRows,
        yield* BroadcastRows
      ]
      yield* sql`
        with endpoint as (
          insert into webhook_endpoints (id, uid, url, types, description, is_enabled, header_names)
          values (gen_random_uuid(), 'owner', 'http://127.0.0.1', '{*}', '', true, '{}') returning id
        ) insert into webhook_subscriptions (uid, type, endpoint_id) select 'owner', '*', id from endpoint`
      const announced = sql`select 1 from events where type = 'vod.ready'`
      yield* enter(entry(yield* stream, "deleted"))
      yield* sql`update broadcasts set ended_at = now()`
      yield* jobs.create
      yield* sql`update vod_jobs set due_at = now()`
      yield* sql`update vod_turns set due_at = now()`
      const job = Option.getOrUndefined(yield* jobs.claim)?.job ?? assert.fail("none is due")
      yield* jobs.begin(job)
      const by = { uid: "owner", isAdmin: false }
      yield* vods.remove(by, job.vod, () => true)
      yield* jobs.complete(job, { duration: 1, format: "wav" })
      assert.lengthOf(yield* announced, 0)
      const restored = Option.getOrThrow(yield* vods.restore(by, job.vod))
      assert.strictEqual(restored.status, "ready")
      assert.lengthOf(yield* announced, 1)
      yield* vods.remove(by, job.vod, () => true)
      yield* vods.restore(by, job.vod)
      assert.lengthOf(yield* announced, 1)
    })
  )
})
