/** `src/Purges/Retention/Retention.ts` in real servers: what was kept long enough is deleted, and the settings of users. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { afterAll, assert, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { SqlClient } from "effect/sql"
import { audioFrame, stream, switchTo } from "../support/Capturer.ts"
import { openCaptureSocket } from "../support/CaptureSocket.ts"
import { embeddedDatabase } from "../support/EmbeddedDatabase.ts"
import { dataDirectory, type Server, startServer } from "../support/Server.ts"

const dataDir = dataDirectory()
let server: Server
afterAll(async () => {
  assert.strictEqual(await server.stop(), 0)
  Fs.rmSync(Path.dirname(dataDir), { recursive: true, force: true, maxRetries: 20 })
})

const rate = 8_000

const record = (conversation: string, start: number) =>
  stream(
    { conversation, pcm: Buffer.alloc(rate * 2, 1), start, sampleRate: rate },
    { server: () => server, speed: 1_000, frameSeconds: 1 }
  )

const call = async (method: string, path: string, body?: unknown, key = server.key) => {
  const response = await fetch(`${server.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) })
  })
  const text = await response.text()
  return { status: response.status, body: text === "" ? undefined : JSON.parse(text) }
}

const query = <A>(run: (sql: SqlClient.SqlClient) => Effect.Effect<A, unknown>) =>
  SqlClient.SqlClient.use(run).pipe(Effect.provide(embeddedDatabase(dataDir)), Effect.runPromise)

const objectsOf = (conversation: string) => {
  const directory = Path.join(dataDir, "objects/chunks/admin", conversation)
  return Fs.existsSync(directory) ? Fs.readdirSync(directory).length : 0
}

it("deletes conversations that ended long ago by the server's clock, and keeps those that go on", async () => {
  server = await startServer(dataDir, { SPILLWAY_RETENTION_DAYS: "0", RETENTION_INTERVAL: "200 millis" })
  // Its timestamps are years old: only the server's clock counts.
  for (const conversation of ["old", "resumed", "new"]) await record(conversation, 1_500_000_000)
  const stored = (conversation: string) =>
    query((sql) =>
      Effect.repeat(sql`SELECT 1 FROM conversations WHERE id = ${conversation} AND has_audio`, {
        until: (rows) => rows.length > 0,
        schedule: Schedule.spaced("50 millis")
      })
    )
  for (const conversation of ["old", "resumed", "new"]) await stored(conversation)
  await query((sql) => sql`UPDATE conversations SET ended_on = ended_on - 40 WHERE id IN ('old', 'resumed')`)
  const capture = await openCaptureSocket(server, { query: `?sample_rate=${rate}&audio_timeline=2&ack=1` })
  capture.socket.send(switchTo("resumed"))
  capture.socket.send(audioFrame(1_500_000_100, Buffer.alloc(rate * 2, 1)))
  await capture.acknowledged(rate * 2)
  // While its audio is only in the journal, so that no other node deletes it.
  await query((sql) =>
    Effect.repeat(
      sql`SELECT 1 FROM conversations WHERE id = 'resumed' AND ended_on >= (now() AT TIME ZONE 'UTC')::date AND chunks = 1`,
      { until: (rows) => rows.length > 0, schedule: Schedule.spaced("50 millis") }
    )
  )
  capture.socket.close()
  await capture.closed
  assert.strictEqual((await call("GET", "/v1/conversations/old")).status, 200)
  await server.stop()

  server = await startServer(dataDir, { SPILLWAY_RETENTION_DAYS: "30", RETENTION_INTERVAL: "200 millis" })
  await query((sql) =>
    Effect.repeat(sql`SELECT 1 FROM purges WHERE conversation_id = 'old' AND finished_at IS NOT NULL`, {
      until: (rows) => rows.length > 0,
      schedule: Schedule.spaced("100 millis")
    })
  )
  assert.strictEqual((await call("GET", "/v1/conversations/old")).status, 404)
  assert.strictEqual(objectsOf("old"), 0)
  for (const conversation of ["resumed", "new"]) {
    assert.strictEqual((await call("GET", `/v1/conversations/${conversation}`)).status, 200)
    assert.isAbove(objectsOf(conversation), 0)
  }
})

it("keeps a user's own setting, which an account's deletion removes", async () => {
  const { key } = (await call("POST", "/v1/keys", { uid: "ada" })).body
  const settings = "/v1/users/ada/settings"
  const unset = { store_audio: null, protection: null, retention_days: null }
  assert.deepStrictEqual((await call("GET", settings, undefined, key)).body, unset)
  for (const retention_days of [7, 0, null, 36_500]) {
    assert.deepStrictEqual(await call("PUT", settings, { retention_days }, key), {
      status: 200,
      body: { ...unset, retention_days }
    })
    assert.deepStrictEqual((await call("GET", settings)).body, { ...unset, retention_days })
  }
  for (const body of [
    { retention_days: -1 },
    { retention_days: 36_501 },
    { retention_days: 1.5 },
    { retention_days: "7" }
  ])
    assert.strictEqual((await call("PUT", settings, body, key)).status, 400, JSON.stringify(body))
  assert.strictEqual((await call("PUT", settings, { retention_days: 7, days: 7 }, key)).status, 400)
  assert.strictEqual((await call("GET", "/v1/users/admin/settings", undefined, key)).status, 403)
  assert.strictEqual((await call("PUT", "/v1/users/admin/settings", { retention_days: 7 }, key)).status, 403)
  assert.strictEqual((await call("GET", "/v1/users/a%20b/settings")).status, 400)
  assert.deepStrictEqual((await call("GET", settings)).body, { ...unset, retention_days: 36_500 })

  assert.strictEqual((await call("DELETE", "/v1/users/ada")).status, 202)
  await query((sql) =>
    Effect.repeat(sql`SELECT 1 FROM purges WHERE uid = 'ada' AND finished_at IS NOT NULL`, {
      until: (rows) => rows.length > 0,
      schedule: Schedule.spaced("100 millis")
    })
  )
  assert.deepStrictEqual((await call("GET", settings)).body, unset)
})
