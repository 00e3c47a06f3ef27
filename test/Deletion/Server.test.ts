/** `src/main.ts`: a real server deletes what is due, and shows it. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { afterAll, assert, beforeAll, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { SqlClient } from "effect/sql"
import { embeddedDatabase } from "../support/EmbeddedDatabase.ts"
import { dataDirectory, type Server, startServer } from "../support/Server.ts"

let server: Server
let dataDir: string

beforeAll(async () => {
  dataDir = dataDirectory()
  server = await startServer(dataDir)
})

afterAll(async () => {
  assert.strictEqual(await server.stop(), 0)
  Fs.rmSync(Path.dirname(dataDir), { recursive: true, force: true, maxRetries: 20 })
})

const get = (path: string) =>
  Effect.promise(async () => {
    const response = await fetch(`${server.url}${path}`, { headers: { authorization: `Bearer ${server.key}` } })
    return response.text()
  })

it("deletes what is due, counts it, and keeps the rest", () =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`
      INSERT INTO tombstones (key, generation, uid, due_at)
      VALUES ('chunks/ada/c/1', '1', 'ada', now()), ('chunks/ada/c/2', '1', 'ada', now() + interval '1 hour')`
    const pending = Effect.map(get("/v1/admin/deletions?uid=ada"), (text) => JSON.parse(text).deletions)
    const [rest, ...others] = yield* Effect.repeat(pending, {
      until: (deletions) => deletions.length === 1,
      schedule: Schedule.spaced("100 millis")
    })
    assert.deepStrictEqual([rest.key, others], ["chunks/ada/c/2", []])
    const metrics = yield* get("/metrics")
    assert.match(metrics, /^spillway_deletions_total\{outcome="deleted"\} 1$/m)
    assert.match(metrics, /^spillway_deletion_last_sweep_time_seconds \d+/m)
    assert.match(metrics, /^spillway_deletion_pending \d+$/m)
  }).pipe(Effect.provide(embeddedDatabase(dataDir)), Effect.runPromise))
