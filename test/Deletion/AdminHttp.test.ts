/** `/v1/admin/deletions` over a real socket and a real database, without a janitor. */
import { assert, layer } from "@effect/vitest"
import { DateTime, Duration, Effect, Layer, Option, Redacted } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { SqlClient } from "effect/sql"
import { Keys } from "../../src/Auth/Keys.ts"
import { StorageBulkheads } from "../../src/Bulkhead.ts"
import { BulkheadConfig } from "../../src/Bulkhead/BulkheadConfig.ts"
import { Deletion } from "../../src/Deletion.ts"
import * as AdminHttp from "../../src/Deletion/AdminHttp.ts"
import * as MemoryStorage from "../../src/Storage/MemoryStorage.ts"
import { served } from "../Http/support/Served.ts"
import * as Postgres from "../support/Postgres.ts"

/** The keys `spw_admin` and `spw_ada`. */
const keys = Layer.mock(Keys, {
  find: (secret) => {
    const uid = Redacted.value(secret).slice("spw_".length)
    const scopes = uid === "admin" ? (["admin", "service"] as const) : []
    return Effect.succeedSome({ id: uid, uid, scopes, createdAt: DateTime.makeUnsafe(0), expiresAt: Option.none() })
  }
})

const deletion = Deletion.layer.pipe(
  Layer.provide([MemoryStorage.layer, StorageBulkheads.layer.pipe(Layer.provide(BulkheadConfig.layer))]),
  Layer.provideMerge(Postgres.layer)
)

const routes = served(AdminHttp.layer).pipe(Layer.provide(keys), Layer.provideMerge(deletion))

const call = (method: "GET" | "POST" | "DELETE", path: string, key = "admin") =>
  Effect.gen(function* () {
    const request = HttpClientRequest.make(method)(`/v1/admin/deletions${path}`)
    const response = yield* HttpClient.execute(HttpClientRequest.bearerToken(request, `spw_${key}`))
    const text = yield* response.text
    return { status: response.status, body: text === "" ? undefined : JSON.parse(text) }
  })

const keysOf = (body: { deletions: ReadonlyArray<{ key: string }> }) => body.deletions.map(({ key }) => key)

const scheduled = (uid: string, keys: ReadonlyArray<string>, after: Duration.Duration) =>
  Effect.flatMap(Deletion, (deletion) =>
    deletion.schedule(
      keys.map((key) => ({ key, generation: "7", uid })),
      { after }
    )
  )

layer(routes, { excludeTestServices: true })("/v1/admin/deletions", (it) => {
  it.effect("lists what is pending and what is dead in pages, retries, and keeps an object", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* scheduled("ada", ["chunks/ada/c/1", "chunks/ada/c/2"], Duration.hours(1))
      yield* scheduled("grace", ["chunks/grace/c/1"], Duration.hours(2))
      yield* scheduled("ada", ["chunks/ada/c/3"], Duration.hours(3))

      const first = (yield* call("GET", "?limit=3")).body
      assert.deepStrictEqual(keysOf(first), ["chunks/ada/c/1", "chunks/ada/c/2", "chunks/grace/c/1"])
      const due_within = { minute: 0, hour: 2, day: 2, later: 0 }
      const counts = { pending: 4, due: 0, oldest_due_seconds: 0, due_within, dead: 0, deleted_by_node: 0 }
      assert.deepStrictEqual(first.backlog, counts)
      const second = (yield* call("GET", `?limit=3&after=${first.next}`)).body
      assert.deepStrictEqual([keysOf(second), second.next], [["chunks/ada/c/3"], null])
      assert.deepStrictEqual(keysOf((yield* call("GET", "?uid=grace")).body), ["chunks/grace/c/1"])

      yield* sql`
        UPDATE tombstones SET due_at = NULL, dead_at = now(), attempts = 20, last_error = 'refused'
        WHERE key = 'chunks/grace/c/1'`
      const dead = (yield* call("GET", "?state=dead&uid=grace")).body
      const { at, created_at, id, ...rest } = dead.deletions[0]
      const found = { key: "chunks/grace/c/1", generation: "7", uid: "grace" }
      assert.deepStrictEqual(rest, { ...found, state: "dead", attempts: 20, last_error: "refused" })
      assert.isTrue(Date.parse(at) >= Date.parse(created_at))
      assert.strictEqual(dead.backlog.dead, 1)
      assert.strictEqual((yield* call("POST", `/${id}/retry`)).status, 204)
      const retried = (yield* call("GET", "?uid=grace")).body
      assert.deepStrictEqual([retried.deletions[0].attempts, retried.backlog.due], [0, 1])
      assert.strictEqual((yield* call("DELETE", `/${id}`)).status, 204)
      assert.deepStrictEqual(keysOf((yield* call("GET", "?uid=grace")).body), [])
    })
  )

  it.effect("tells when what is pending will be due, and how many objects the node has deleted", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const deletion = yield* Deletion
      const before = (yield* call("GET", "?limit=1")).body.backlog
      const times = [Duration.zero, Duration.seconds(50), Duration.minutes(50), Duration.hours(20), Duration.days(400)]
      for (const [count, after] of times.entries())
        yield* scheduled(
          "times",
          Array.from({ length: count + 1 }, (_, at) => `chunks/times/${count}/${at}`),
          after
        )
      const { backlog } = (yield* call("GET", "?limit=1")).body
      const grown = (name: string) => backlog.due_within[name] - before.due_within[name]
      assert.deepStrictEqual(["minute", "hour", "day", "later"].map(grown), [2, 3, 4, 5])
      assert.strictEqual(backlog.due - before.due, 1)
      yield* Effect.repeat(deletion.sweep, { until: (size) => size === 0 })
      yield* deletion.idle
      const after = (yield* call("GET", "?limit=1")).body.backlog
      assert.deepStrictEqual([after.due, after.deleted_by_node], [0, backlog.due])
      yield* sql`DELETE FROM tombstones WHERE uid = 'times'`
    })
  )

  it.effect("answers 404 to unknown ids, 400 to bad parameters, and 403 to other keys", () =>
    Effect.gen(function* () {
      const status = (...of: Parameters<typeof call>) => Effect.map(call(...of), ({ status }) => status)
      assert.strictEqual(yield* status("DELETE", "/999999999"), 404)
      assert.strictEqual(yield* status("POST", "/999999999/retry"), 404)
      for (const path of ["?state=done", "?limit=0", "?limit=501", "?after=x", "?after=1", "?uid=a/b"])
        assert.strictEqual(yield* status("GET", path), 400, path)
      assert.strictEqual(yield* status("DELETE", "/x"), 400)
      assert.strictEqual(yield* status("GET", "", "ada"), 403)
      assert.strictEqual(yield* status("POST", "/1/retry", "ada"), 403)
      assert.strictEqual(yield* status("DELETE", "/1", "ada"), 403)
    })
  )
})
