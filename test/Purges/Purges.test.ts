/** `src/Purges` on a real database and a store that fails, loses its lease, or gets more objects. */
import { assert, layer } from "@effect/vitest"
import { Context, Duration, Effect, Layer, Option, Ref, References } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { Keys } from "../../src/Auth/Keys.ts"
import { StorageBulkheads } from "../../src/Bulkhead.ts"
import { BulkheadConfig } from "../../src/Bulkhead/BulkheadConfig.ts"
import { Deletion } from "../../src/Deletion.ts"
import { Purges } from "../../src/Purges.ts"
import { Recording } from "../../src/Recording.ts"
import { Storage, StorageRefused } from "../../src/Storage.ts"
import * as MemoryStorage from "../../src/Storage/MemoryStorage.ts"
import * as Postgres from "../support/Postgres.ts"

/** What the store does before it removes an object, and after it has listed some. */
class Hooks extends Context.Service<
  Hooks,
  {
    readonly remove: Ref.Ref<(key: string) => Effect.Effect<void, StorageRefused>>
    readonly listed: Ref.Ref<(prefix: string) => Effect.Effect<void>>
  }
>()("spillway/test/Purges/Purges.test/Hooks") {}

const hooks = Layer.effect(
  Hooks,
  Effect.all({
    remove: Ref.make<(key: string) => Effect.Effect<void, StorageRefused>>(() => Effect.void),
    listed: Ref.make<(prefix: string) => Effect.Effect<void>>(() => Effect.void)
  })
)

const storage = Layer.effect(
  Storage,
  Effect.gen(function* () {
    const { listed, remove } = yield* Hooks
    const store = MemoryStorage.make(1_024 * 1_024)
    return Storage.of({
      ...store,
      remove: (key, options) =>
        Ref.get(remove).pipe(
          Effect.flatMap((before) => before(key)),
          Effect.andThen(store.remove(key, options))
        ),
      list: (prefix, options) =>
        Effect.tap(store.list(prefix, options), () => Effect.flatMap(Ref.get(listed), (after) => after(prefix)))
    })
  })
)

const world = Purges.layer.pipe(
  Layer.provideMerge(Deletion.layer),
  Layer.provide(StorageBulkheads.layer.pipe(Layer.provide(BulkheadConfig.layer))),
  Layer.provide([
    Layer.mock(Recording, {
      endPurged: Effect.void,
      isLive: () => Effect.succeed(false),
      journal: () => assert.fail("not used"),
      captures: () => [],
      uploads: () => assert.fail("not used")
    }),
    Layer.mock(Keys, {
      countOf: () => Effect.succeed(1),
      removeOf: (uid) => Effect.succeed(uid === "max" ? 2 : 0)
    })
  ]),
  Layer.provideMerge(storage),
  Layer.provideMerge(Layer.merge(Postgres.layer, hooks)),
  Layer.provide(Layer.succeed(References.MinimumLogLevel, "None"))
)

const put = (key: string) =>
  Storage.use((storage) =>
    storage.put({ key, body: new TextEncoder().encode(key), contentType: "text/plain", metadata: {} })
  )
const keysUnder = (prefix: string) =>
  Storage.use((storage) => Effect.map(storage.list(prefix), ({ objects }) => objects.map(({ key }) => key)))

const conversation = (uid: string, id = "c") =>
  SqlClient.SqlClient.use((sql) => sql`insert into conversations (uid, id) values (${uid}, ${id})`)

const request = (uid: string, conversation: string | undefined) =>
  Purges.use((purges) => purges.request({ uid, conversation }, Duration.zero)).pipe(
    Effect.flatMap(Effect.fromOption),
    Effect.map(({ id }) => id)
  )

/** Runs the purge once, as if it had begun 20 s ago and were due, and no other one. */
const run = (id: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const purges = yield* Purges
    yield* sql`update purges set due_at = 'tomorrow' where due_at is not null`
    yield* sql`
      update purges set due_at = now(), started_at = requested_at - interval '20 seconds'
      where id = ${id}::uuid and due_at is not null`
    assert.strictEqual(yield* purges.sweep, 1)
    yield* purges.idle
    return yield* Effect.fromOption(yield* purges.find(id))
  })

layer(world, { excludeTestServices: true })("A purge", (it) => {
  it.effect("stays pending while an object can't be removed, says what is left and why, and is done after it", () =>
    Effect.gen(function* () {
      const { remove } = yield* Hooks
      const refused = (key: string) =>
        new StorageRefused({ operation: "remove", bucket: "memory", key, reason: "locked" })
      yield* conversation("ada")
      yield* put("chunks/ada/c/1.000.batch.bin")
      yield* put("chunks/ada/c/2.000.batch.bin")
      yield* put("chunks/ada/cc/3.000.batch.bin")
      yield* Ref.set(remove, (key) => (key.includes("/2.000") ? refused(key) : Effect.void))
      const id = yield* request("ada", "c")
      const pending = yield* run(id)
      assert.deepStrictEqual([pending.state, pending.leftObjects, pending.counts.objects], ["pending", 1, 1])
      assert.match(pending.lastError ?? "", /^1 object is left under chunks\/ada\/c\/: .*locked$/)
      yield* Ref.set(remove, () => Effect.void)
      // A pass that finds something is not the proof.
      assert.strictEqual((yield* run(id)).state, "running")
      const done = yield* run(id)
      assert.deepStrictEqual([done.state, done.leftObjects, done.counts.objects], ["done", 0, 2])
      assert.deepStrictEqual(yield* keysUnder("chunks/ada/"), ["chunks/ada/cc/3.000.batch.bin"])
    })
  )

  it.effect("of an account deletes everything else, keys included, while some objects can't be removed", () =>
    Effect.gen(function* () {
      const { remove } = yield* Hooks
      const kept = ["chunks/max/c/1.000.batch.bin", "syncing/max/1.bin"]
      const gone = ["chunks/max/c/2.000.batch.bin", "merged/max/c/1.wav", "max/people_profiles/p/1.wav"]
      yield* Effect.forEach([...kept, ...gone], put)
      yield* Ref.set(remove, (key) =>
        kept.includes(key)
          ? new StorageRefused({ operation: "remove", bucket: "memory", key, reason: "locked" })
          : Effect.void
      )
      const id = yield* request("max", undefined)
      const { counts, lastError, leftObjects, state } = yield* run(id)
      assert.deepStrictEqual([state, leftObjects, counts.objects, counts.keys], ["pending", 2, 3, 2])
      assert.match(lastError ?? "", /^2 objects are left under chunks\/max\/, syncing\/max\/: .*locked$/)
      yield* Ref.set(remove, () => Effect.void)
    })
  )

  it.effect("of an account deletes its webhooks with their logs, its events and its chat, and nothing of others", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const endpoints = { mia: "00000000-0000-7000-8000-00000000000a", zed: "00000000-0000-7000-8000-00000000000b" }
      for (const [uid, id] of Object.entries(endpoints)) {
        yield* sql`
          insert into webhook_endpoints (id, uid, url, types, description, is_enabled, header_names, secrets)
          values (${id}::uuid, ${uid}, 'https://example.com/', '{*}', '', true, '{}', 'secret')`
        yield* sql`insert into webhook_subscriptions (uid, type, endpoint_id) values (${uid}, '*', ${id}::uuid)`
        yield* sql`insert into webhook_turns (endpoint_id) values (${id}::uuid)`
        yield* sql`insert into events (id, type, uid, size, body) values (${id}::uuid, 't', ${uid}, 2, '{}')`
        yield* sql`insert into webhook_deliveries (event_id, endpoint_id, type) values (${id}::uuid, ${id}::uuid, 't')`
        yield* sql`
          insert into webhook_attempts (event_id, endpoint_id, number, at, millis, request)
          values (${id}::uuid, ${id}::uuid, 1, now(), 1, '')`
        yield* sql`
          insert into chat_messages (stream_id, id, uid, text, nonce, created_at)
          values (1, ${uid.charCodeAt(0)}, ${uid}, 'x', 'n', now())`
        yield* sql`insert into chat_bans (stream_id, uid, reason, banned_by) values (1, ${uid}, '', 'owner')`
      }
      yield* conversation("mia")
      const id = yield* request("mia", undefined)
      assert.strictEqual((yield* run(id)).state, "done")
      const left = (table: string, column: string) =>
        Effect.map(
          sql<{ readonly of: string }>`
            select ${sql(column)}::text as of from ${sql(table)} where ${sql(column)}::text = any(${["mia", "zed", ...Object.values(endpoints)]})`,
          (rows) => rows.map(({ of }) => of)
        )
      for (const table of ["events", "webhook_endpoints", "chat_messages", "chat_bans"])
        assert.deepStrictEqual(yield* left(table, "uid"), ["zed"], table)
      for (const table of ["webhook_subscriptions", "webhook_turns", "webhook_deliveries", "webhook_attempts"])
        assert.deepStrictEqual(yield* left(table, "endpoint_id"), [endpoints.zed], table)
    })
  )

  it.effect("counts a defect of the store as a failure of the one object, or of the listing", () =>
    Effect.gen(function* () {
      const { listed, remove } = yield* Hooks
      yield* conversation("dora")
      yield* put("chunks/dora/c/1.000.batch.bin")
      yield* put("chunks/dora/c/2.000.batch.bin")
      yield* Ref.set(remove, (key) => (key.includes("/1.000") ? Effect.die(new Error("broken\0")) : Effect.void))
      const id = yield* request("dora", "c")
      const pending = yield* run(id)
      assert.deepStrictEqual([pending.state, pending.leftObjects, pending.counts.objects], ["pending", 1, 1])
      yield* Ref.set(remove, () => Effect.void)
      yield* Ref.set(listed, () => Effect.die(new Error("broken listing")))
      const unlisted = yield* run(id)
      assert.deepStrictEqual([unlisted.state, unlisted.attempts], ["pending", 2])
      assert.match(unlisted.lastError ?? "", /broken listing/)
      yield* Ref.set(listed, () => Effect.void)
      yield* run(id)
      assert.strictEqual((yield* run(id)).state, "done")
    })
  )

  it.effect("pauses before it lists again what it has removed", () =>
    Effect.gen(function* () {
      const { listed } = yield* Hooks
      yield* conversation("liam")
      yield* put("chunks/liam/c/1.000.batch.bin")
      const id = yield* request("liam", "c")
      // A store whose listing lags behind: each pass finds the object again.
      const again = put("chunks/liam/c/1.000.batch.bin").pipe(Effect.provideService(Storage, yield* Storage))
      yield* Ref.set(listed, () => Effect.orDie(Effect.asVoid(again)))
      yield* run(id)
      const running = yield* run(id)
      yield* Ref.set(listed, () => Effect.void)
      assert.strictEqual(running.state, "running")
      assert.isAbove(running.dueAt?.getTime() ?? 0, Date.now() + 500)
    })
  )

  it.effect("is not done before a listing finds nothing, however often more is stored", () =>
    Effect.gen(function* () {
      yield* conversation("eve")
      const id = yield* request("eve", "c")
      for (const late of [1, 2, 3]) {
        yield* put(`chunks/eve/c/${late}.000.batch.bin`)
        assert.strictEqual((yield* run(id)).state, "running")
      }
      const done = yield* run(id)
      assert.deepStrictEqual([done.state, done.counts.objects, done.counts.conversations], ["done", 3, 1])
    })
  )

  it.effect("deletes nothing that it lists after its lease", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { listed } = yield* Hooks
      yield* conversation("bob")
      yield* put("chunks/bob/c/1.000.batch.bin")
      const id = yield* request("bob", "c")
      // Another node takes the purge while this one stands still.
      yield* Ref.set(listed, () =>
        Effect.orDie(Effect.asVoid(sql`update purges set token = gen_random_uuid() where id = ${id}::uuid`))
      )
      const stolen = yield* run(id)
      assert.deepStrictEqual([stolen.state, stolen.counts.objects], ["running", 0])
      assert.deepStrictEqual(yield* keysUnder("chunks/bob/"), ["chunks/bob/c/1.000.batch.bin"])
      yield* Ref.set(listed, () => Effect.void)
      yield* run(id)
      assert.strictEqual((yield* run(id)).state, "done")
    })
  )

  it.effect("removes the tombstones of what it deletes, and no others", () =>
    Effect.gen(function* () {
      const deletion = yield* Deletion
      const other = "chunks/mary/c0/1"
      // More than one batch.
      const own = Array.from({ length: 1_001 }, (_, n) => `chunks/mary/c/${n}`)
      yield* conversation("mary")
      yield* deletion.schedule(
        [...own, other].map((key) => ({ key, generation: "1", uid: "mary" })),
        { after: Duration.hours(1) }
      )
      const id = yield* request("mary", "c")
      assert.strictEqual((yield* run(id)).counts.tombstones, 1_001)
      const { tombstones } = yield* deletion.list({ state: "pending", uid: "mary", limit: 10 })
      assert.deepStrictEqual(
        tombstones.map(({ key }) => key),
        [other]
      )
    })
  )

  it.effect("of an account named like a prefix of the store leaves what others have", () =>
    Effect.gen(function* () {
      for (const uid of ["chunks", "merged", "syncing"]) {
        yield* put(`chunks/${uid}/c/1.000.batch.bin`)
        yield* put(`${uid}/people_profiles/c/2.000.batch.bin`)
        const id = yield* request(uid, undefined)
        yield* run(id)
        assert.strictEqual((yield* run(id)).state, "done", uid)
        assert.deepStrictEqual(yield* keysUnder(`chunks/${uid}/`), [])
        assert.deepStrictEqual(yield* keysUnder(`${uid}/people_profiles/`), [
          `${uid}/people_profiles/c/2.000.batch.bin`
        ])
      }
    })
  )

  it.effect("that was given up starts again with all attempts when it is requested again", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const purges = yield* Purges
      yield* conversation("joan")
      const id = yield* request("joan", "c")
      yield* sql`update purges set due_at = null, dead_at = now(), attempts = 20, last_error = 'locked' where id = ${id}::uuid`
      assert.strictEqual(Option.getOrUndefined(yield* purges.find(id))?.state, "dead")
      assert.strictEqual(yield* request("joan", "c"), id)
      assert.strictEqual((yield* run(id)).state, "done")
    })
  )

  it.effect("that was given up is listed by time, in pages, for its user or for all, and not once it is retried", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const purges = yield* Purges
      // Ids and names are in another order than the times.
      const [first, second, third] = [3, 1, 2].map((n) => `00000000-0000-4000-8000-00000000000${n}`)
      yield* sql`
        insert into purges (id, uid, conversation_id, attempts, started_at, dead_at)
        values (${first}::uuid, 'zoe', 'a', 20, now(), 'yesterday'), (${third}::uuid, 'bea', 'a', 20, now(), now()),
               (${second}::uuid, 'bea', 'b', 20, now(), 'yesterday'::timestamptz + interval '1 microsecond')`
      yield* sql`insert into purges (id, uid, conversation_id, due_at) values (gen_random_uuid(), 'bea', 'c', 'tomorrow')`
      const page = (uid: string | undefined, after: string | undefined, limit: number) =>
        Effect.map(purges.list({ uid, isDead: true, after, limit }), ({ purges }) => purges.map(({ id }) => id))
      assert.deepStrictEqual(yield* page(undefined, undefined, 2), [first, second])
      assert.deepStrictEqual(yield* page(undefined, first, 2), [second, third])
      assert.deepStrictEqual(yield* page("bea", undefined, 3), [second, third])
      yield* purges.request({ uid: "bea", conversation: "b" }, Duration.zero)
      assert.deepStrictEqual(yield* page(undefined, first, 3), [third])
    })
  )
})

layer(world)("A purge whose store hangs", (it) => {
  it.effect("lets others have its turn after its time slice, and is pending", () =>
    Effect.gen(function* () {
      const purges = yield* Purges
      const { remove } = yield* Hooks
      yield* conversation("hugo")
      yield* Effect.forEach(
        Array.from({ length: 40 }, (_, n) => `chunks/hugo/c/${n}.000.batch.bin`),
        put
      )
      const hanging = yield* Ref.make(0)
      yield* Ref.set(remove, () =>
        Ref.update(hanging, (n) => n + 1).pipe(
          Effect.andThen(Effect.never),
          Effect.ensuring(Ref.update(hanging, (n) => n - 1))
        )
      )
      const id = yield* request("hugo", "c")
      assert.strictEqual(yield* purges.sweep, 1)
      const running = yield* Effect.forkChild(purges.idle)
      let seconds = 0
      while (running.pollUnsafe() === undefined && seconds < 300) {
        yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
        // A retry of the database waits for this clock, too.
        const step = (yield* Ref.get(hanging)) === 0 ? 0.001 : 1
        yield* TestClock.adjust(Duration.seconds(step))
        seconds += step
      }
      const { attempts, leftObjects } = yield* Effect.fromOption(yield* purges.find(id))
      assert.isBelow(seconds, 60)
      assert.deepStrictEqual([attempts, leftObjects], [1, 8])
    })
  )
})
