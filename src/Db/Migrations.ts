/** The schema, brought up to date at start: forward only, by one node at a time. */
import { PgClient } from "@effect/sql-pg"
import { Duration, Effect, Schedule } from "effect"
import { Reactivity } from "effect/reactivity"
import { Migrator, SqlClient, type SqlError } from "effect/sql"
import { DatabaseUnusable } from "./DatabaseUnusable.ts"
import { DbConfig } from "./DbConfig.ts"
import { DbServer } from "./DbServer.ts"
import * as Fault from "./Fault.ts"
import { recordings } from "./Migrations/0001_recordings.ts"
import { peaks } from "./Migrations/0002_peaks.ts"
import { timelines } from "./Migrations/0003_timelines.ts"
import { sealedPeaks } from "./Migrations/0004_sealed_peaks.ts"
import { latest } from "./Migrations/0005_latest.ts"
import { secrets } from "./Migrations/0006_secrets.ts"
import { clockShifts } from "./Migrations/0007_clock_shifts.ts"

/** In order of their numbers. What has been released is never edited: the previous release still runs while this one starts. */
export const migrations = {
  "0001_recordings": recordings,
  "0002_peaks": peaks,
  "0003_timelines": timelines,
  "0004_sealed_peaks": sealedPeaks,
  "0005_latest": latest,
  "0006_secrets": secrets,
  "0007_clock_shifts": clockShifts
}

const table = "spillway_migrations"

/** Any constant will do; it only has to be the same in every release ("spillway" in hexadecimal, shortened). */
const lockKey = 0x7370_696c

const oldestServer = 15

const retrySpacing = Duration.millis(250)

const unusable = (server: DbServer["Service"]) => (error: SqlError.SqlError) => {
  const code = Fault.sqlState(error)
  const cause = error.reason.cause
  const detail = cause instanceof Error && cause.message !== "" ? cause.message : error.message
  const problem = `The database ${server.name} can't be used (${code === undefined ? detail : `${code}: ${detail}`})`
  const remedy = () => {
    if (code?.startsWith("28") === true || error.reason._tag === "AuthenticationError")
      return "check the user and the password in DATABASE_URL"
    if (code === "3D000") return "create the database, or name another in DATABASE_URL"
    if (code === "42501") return "let the user create tables in it (GRANT CREATE ON SCHEMA public)"
    return server.embedded
      ? "see PostgreSQL's own messages in the log"
      : "check that it runs and that DATABASE_URL names its host and port"
  }
  return new DatabaseUnusable({ problem, remedy: remedy() })
}

/** Waits for a server that does not answer yet, as when both were started together. */
const connect = Effect.fnUntraced(function* (server: DbServer["Service"]) {
  const config = yield* DbConfig
  const sql = yield* PgClient.makeClient({
    ...server.login,
    applicationName: "spillway-migrations",
    connectTimeout: config.connectTimeout,
    startupParameters: { statement_timeout: "0", lock_timeout: "0" }
  }).pipe(
    Effect.tapError((error) =>
      Fault.of(error) === "refused"
        ? Effect.logDebug("The database does not answer yet", { database: server.name, cause: error.reason.cause })
        : Effect.void
    ),
    Effect.retry({
      while: (error) => !server.embedded && Fault.of(error) === "refused",
      schedule: Schedule.spaced(retrySpacing).pipe(Schedule.upTo({ duration: config.startTimeout }))
    })
  )
  return sql
})

const checkVersion = Effect.fnUntraced(function* (sql: SqlClient.SqlClient, server: DbServer["Service"]) {
  const rows = yield* sql<{ readonly version: number }>`SELECT current_setting('server_version_num')::int AS version`
  const major = Math.floor((rows[0]?.version ?? 0) / 10_000)
  if (major < oldestServer)
    return yield* new DatabaseUnusable({
      problem: `The database ${server.name} is PostgreSQL ${major}`,
      remedy: `use PostgreSQL ${oldestServer} or later`
    })
})

/**
 * Brings the schema up to date and answers with the migrations that it ran. On a connection of its own, with no
 * statement timeout, under an advisory lock that the server gives back when the connection ends, however it ends.
 */
export const run = Effect.gen(function* () {
  const server = yield* DbServer
  const sql = yield* connect(server)
  yield* checkVersion(sql, server)
  yield* sql`SELECT pg_advisory_lock(${lockKey}::bigint)::text`
  const migrate = Migrator.make({})({ loader: Migrator.fromRecord(migrations), table })
  return yield* Effect.provideService(migrate, SqlClient.SqlClient, sql)
}).pipe(
  Effect.scoped,
  Effect.provide(Reactivity.layer),
  Effect.catchTags({
    SqlError: (error) => Effect.flatMap(DbServer, (server) => unusable(server)(error)),
    MigrationError: (error) =>
      new DatabaseUnusable({
        problem: `${error.message} (${error.cause instanceof Error ? error.cause.message : error.kind})`,
        remedy: "the schema is unchanged; report this with the message above"
      })
  })
)
