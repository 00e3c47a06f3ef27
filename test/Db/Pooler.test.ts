/** `src/Db/External` behind a real PgBouncer, as Debian ships it: no prepared statements in transaction mode. */
import { randomBytes } from "node:crypto"
import * as Fs from "node:fs"
import { assert, describe, layer } from "@effect/vitest"
import { PgClient } from "@effect/sql-pg"
import { NodeServices } from "@effect/platform-node"
import { Context, Duration, Effect, Layer, Logger, Option, Redacted, Schedule } from "effect"
import { Reactivity } from "effect/reactivity"
import { SqlClient } from "effect/sql"
import { Db, DbTimeout } from "../../src/Db.ts"
import * as Database from "../../src/Db/Database.ts"
import * as External from "../../src/Db/External/External.ts"
import * as Migrations from "../../src/Db/Migrations.ts"
import { Tombstones } from "../../src/Deletion/Tombstones.ts"
import * as PostgresChild from "../../src/Db/Postgres/Child.ts"
import { NodeConfig } from "../../src/NodeConfig.ts"
import { stream } from "../support/Capturer.ts"
import { findProgram } from "../support/Programs.ts"
import { startServer } from "../support/Server.ts"
import { testDirectory } from "../support/TestServer.ts"
import { configWith } from "./support/Fixture.ts"
import { keepsPromises } from "./support/Kills.ts"
import { freePort } from "../support/FreePort.ts"
import { isMissing, TlsServer, layer as layerTls } from "./support/TlsServer.ts"

const program = findProgram("pgbouncer", "tests of a database behind pgbouncer")

/** Fewer server connections than the node has: transactions of one session run in several. */
const serverConnections = 3

const configuration = (mode: string, from: number, to: number, password: string) => `
[databases]
* = host=127.0.0.1 port=${to} user=spillway password=${password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${from}
unix_socket_dir =
auth_type = any
pool_mode = ${mode}
server_login_retry = 0.2
default_pool_size = ${mode === "session" ? 30 : serverConnections}
`

/** In front of a fresh database. `raw` connects through it, `other` directly. */
const pgbouncer = Effect.fnUntraced(function* (mode: string) {
  const { directory, password, port, sql, user } = yield* TlsServer
  const from = yield* Effect.promise(freePort)
  // Not named by the port: a later pooler may get that one again.
  const database = `pooled_${mode}_${randomBytes(4).toString("hex")}`
  yield* sql`CREATE DATABASE ${sql(database)}`
  const file = `${directory}/${database}.ini`
  Fs.writeFileSync(file, configuration(mode, from, port, password))
  yield* PostgresChild.spawn({ command: program ?? "", args: [file], user })
  const login = { host: "127.0.0.1", port: from, database, username: "spillway", password: Redacted.make("any") }
  const raw = yield* PgClient.makeClient({ ...login, prepare: false }).pipe(
    Effect.retry(Schedule.max([Schedule.spaced("20 millis"), Schedule.recurs(500)])),
    Effect.provide(Reactivity.layer)
  )
  const other = yield* Effect.provide(
    PgClient.makeClient({ ...sql.config, database, applicationName: "other" }),
    Reactivity.layer
  )
  return { url: `postgres://spillway:any@127.0.0.1:${from}/${database}`, raw, other, database }
})

/** A whole start. */
const start = (url: string, changes: Parameters<typeof configWith>[0] = {}) =>
  Layer.build(
    Layer.fresh(Database.layer).pipe(
      Layer.provide(configWith({ url: Option.some(Redacted.make(url)), ...changes })),
      Layer.provide(Layer.succeed(NodeConfig, { dataDir: "/nowhere" })),
      Layer.provide(NodeServices.layer)
    )
  ).pipe(Effect.map((context) => Context.get(context, Db)))

describe.skipIf(program === undefined || isMissing)("Behind pgbouncer", () => {
  layer(layerTls, { excludeTestServices: true })("PgBouncer in both pool modes", (it) => {
    it.effect("records, plays and recovers after a kill, with a real server (transaction)", () =>
      Effect.gen(function* () {
        const { other, url } = yield* pgbouncer("transaction")
        const dataDir = testDirectory()
        const env = { DATABASE_URL: url, SPILLWAY_CHUNK_DURATION: "1 second", SPILLWAY_COMMIT_INTERVAL: "50 millis" }
        const begin = Effect.acquireRelease(
          Effect.promise(() => startServer(dataDir, env)),
          (server) => Effect.promise(() => server.kill())
        )
        const pcm = randomBytes(5 * 16_000)
        const recorded = { conversation: "pooled", start: 1_760_000_000, sampleRate: 8000, pcm }
        yield* Effect.gen(function* () {
          const server = yield* begin
          yield* Effect.promise(() => stream(recorded, { server: () => server, speed: 20 }))
        }).pipe(Effect.scoped)
        const server = yield* begin
        const get = (path: string) => {
          const headers = { authorization: `Bearer ${server.key}` }
          return Effect.promise(() => fetch(server.url + path, { headers }))
        }
        const stored = other<{ n: number }>`SELECT count(*)::int AS n FROM chunks WHERE NOT lost`
        yield* Effect.repeat(stored, {
          until: ([row]) => (row?.n ?? 0) >= 5,
          schedule: Schedule.spaced("50 millis")
        })
        const conversation = yield* get("/v1/conversations/pooled")
        const [file] = JSON.parse(yield* Effect.promise(() => conversation.text())).audio_files
        const audio = yield* get(`/v1/sync/audio/pooled/${file.id}?format=pcm`)
        const heard = Buffer.from(yield* Effect.promise(() => audio.arrayBuffer()))
        assert.isTrue(heard.equals(pcm))
      })
    )

    it.effect("says that the server behind it does not answer (transaction)", () =>
      Effect.gen(function* () {
        const { directory, user } = yield* TlsServer
        const from = yield* Effect.promise(freePort)
        const file = `${directory}/dead.ini`
        Fs.writeFileSync(file, configuration("transaction", from, yield* Effect.promise(freePort), "any"))
        yield* PostgresChild.spawn({ command: program ?? "", args: [file], user })
        const short = { connectTimeout: Duration.millis(300), startTimeout: Duration.millis(600) }
        const error = yield* Effect.flip(start(`postgres://spillway:any@127.0.0.1:${from}/dead`, short))
        assert.match(error.message, /^The database 127\.0\.0\.1:\d+\/dead can't be used \(.*: check that it runs/)
      }).pipe(Effect.timeout("2 minutes"))
    )

    for (const mode of ["transaction", "session"]) {
      it.effect(`restarts, reads and writes with many concurrent statements (${mode})`, () =>
        Effect.gen(function* () {
          const { url } = yield* pgbouncer(mode)
          for (const round of [1, 2, 3]) {
            const [took] = yield* Effect.timed(
              Effect.scoped(
                Effect.gen(function* () {
                  const db = yield* start(url)
                  yield* Effect.forEach(
                    Array.from({ length: 200 }, (_, n) => n),
                    (n) =>
                      n % 2 === 0
                        ? db.write(
                            "Test.insert",
                            (sql) => sql`INSERT INTO conversations (uid, id) VALUES ('u', ${`${round}-${n}`})`
                          )
                        : db.transaction("Test.both", (sql) =>
                            Effect.andThen(
                              sql`INSERT INTO conversations (uid, id) VALUES ('u', ${`${round}-${n}`})`,
                              sql`SELECT id FROM conversations WHERE uid = ${"u"} LIMIT 5`
                            )
                          ),
                    { concurrency: 20 }
                  )
                  const rows = yield* db.read("Test.count", (sql) => sql`SELECT count(*)::int AS n FROM conversations`)
                  assert.deepStrictEqual(rows, [{ n: round * 200 }])
                })
              )
            )
            assert.isBelow(Duration.toSeconds(took), 30)
          }
        })
      )

      it.effect(`claims, extends, fails and completes tombstones (${mode})`, () =>
        Effect.gen(function* () {
          const { url } = yield* pgbouncer(mode)
          const context = yield* Layer.build(Tombstones.layer).pipe(Effect.provideService(Db, yield* start(url)))
          const tombstones = Context.get(context, Tombstones)
          const committed: Array<number> = []
          const objects = Array.from({ length: 40 }, (_, n) => ({ key: `o${n}`, generation: "1", uid: "u" }))
          yield* tombstones.schedule(
            objects,
            Duration.zero,
            Effect.sync(() => void committed.push(objects.length))
          )
          assert.deepStrictEqual(committed, [40])
          const claims = yield* Effect.all([tombstones.claim(30), tombstones.claim(30)], { concurrency: 2 })
          const ids = claims.map(({ rows }) => rows.map(({ id }) => id))
          assert.strictEqual(new Set(ids.flat()).size, 40)
          for (const [at, { token }] of claims.entries()) {
            const [first = "", ...rest] = ids[at] ?? []
            assert.strictEqual((yield* tombstones.extend(token, [first, ...rest])).length, rest.length + 1)
            assert.deepStrictEqual(yield* tombstones.fail(token, [{ id: first, error: "no" }]), { retried: 1, dead: 0 })
            assert.strictEqual(yield* tombstones.complete(token, rest), rest.length)
          }
          assert.strictEqual((yield* tombstones.backlog).pending, 2)
        })
      )

      it.effect(`limits each statement on the server, and leaves no limit in its sessions (${mode})`, () =>
        Effect.gen(function* () {
          const { raw, url } = yield* pgbouncer(mode)
          const db = yield* start(url, { statementTimeout: Duration.seconds(30) })
          const limits = (sql: SqlClient.SqlClient) => sql`
            SELECT current_setting('statement_timeout') AS statement,
                   current_setting('idle_in_transaction_session_timeout') AS idle`
          for (const run of [db.read, db.write, db.writeIdempotent, db.transaction])
            assert.deepStrictEqual(yield* run("Test.limits", limits), [{ statement: "35s", idle: "35s" }])
          for (let n = 0; n < serverConnections * 2; n++)
            assert.deepStrictEqual(yield* limits(raw), [{ statement: "0", idle: "0" }])
        })
      )

      it.effect(`cancels on the server a statement that takes too long (${mode})`, () =>
        Effect.gen(function* () {
          const { database, url } = yield* pgbouncer(mode)
          const { sql } = yield* TlsServer
          const db = yield* start(url, { statementTimeout: Duration.millis(300) })
          const error = yield* Effect.flip(db.read("Test.sleep", (sql) => sql`SELECT pg_sleep(60)`))
          assert.deepStrictEqual(error, new DbTimeout({ operation: "Test.sleep", limit: "statement" }))
          const running = sql`
            SELECT pid FROM pg_stat_activity
            WHERE datname = ${database} AND state = 'active' AND query LIKE '%pg_sleep%'`
          yield* Effect.repeat(running, { until: (rows) => rows.length === 0, schedule: Schedule.spaced("20 millis") })
          yield* db.read("Test.after", (sql) => sql`SELECT 1`)
        }).pipe(Effect.timeout("2 minutes"))
      )

      it.effect(`lets a query catch a violated constraint (${mode})`, () =>
        Effect.gen(function* () {
          const { url } = yield* pgbouncer(mode)
          const db = yield* start(url)
          const insert = (sql: SqlClient.SqlClient) => sql`INSERT INTO conversations (uid, id) VALUES ('twice', 'c')`
          yield* db.write("Test.insert", insert)
          const caught = yield* db.write("Test.insert", (sql) =>
            Effect.catchReason(insert(sql), "SqlError", "UniqueViolation", () => Effect.succeed("taken"))
          )
          assert.strictEqual(caught, "taken")
        })
      )

      it.effect(`loses and duplicates nothing while the server ends sessions at random (${mode})`, () =>
        Effect.gen(function* () {
          const { other, url } = yield* pgbouncer(mode)
          yield* keepsPromises(yield* start(url, { retryBase: Duration.millis(10) }), other)
        })
      )

      it.effect(`starts when an earlier node left its lock in a session of the pooler (${mode})`, () =>
        Effect.gen(function* () {
          const { raw, url } = yield* pgbouncer(mode)
          yield* Effect.scoped(start(url))
          yield* raw`SELECT pg_advisory_lock(${0x7370_696c}::bigint)::text`
          yield* Effect.timeout(Effect.scoped(start(url)), "2 minutes")
        })
      )

      it.effect(`waits for the migration lock up to a bound, and names its holder (${mode})`, () =>
        Effect.gen(function* () {
          const { other, url } = yield* pgbouncer(mode)
          yield* other`SELECT pg_advisory_lock(${0x7370_696c}::bigint)::text`
          const lines: Array<string> = []
          const error = yield* Migrations.runWithin(Duration.millis(600)).pipe(
            Effect.provide([
              External.layer(Redacted.make(url)),
              Logger.layer([Logger.make(({ message }) => void lines.push(String(message)))])
            ]),
            Effect.flip
          )
          assert.match(
            error.message,
            /held the migration lock of the database .* for 600ms.*pg_terminate_backend\(\d+\)/
          )
          assert.strictEqual(lines.filter((line) => line.includes("holds the migration lock")).length, 1)
          yield* other`SELECT pg_advisory_unlock_all()`
          yield* Effect.scoped(start(url))
        })
      )
    }
  })
})
