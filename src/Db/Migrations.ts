/** Migrates the schema at startup: forward only, one node at a time. */
import { PgClient } from "@effect/sql-pg"
import { Clock, Duration, Effect } from "effect"
import { Reactivity } from "effect/reactivity"
import { Migrator, SqlClient } from "effect/sql"
import * as Startup from "../Startup.ts"
import { DatabaseUnusable, fromSqlError } from "./DatabaseUnusable.ts"
import { DbConfig } from "./DbConfig.ts"
import { DbServer } from "./DbServer.ts"
import { recordings } from "./Migrations/0001_recordings.ts"
import { peaks } from "./Migrations/0002_peaks.ts"
import { timelines } from "./Migrations/0003_timelines.ts"
import { sealedPeaks } from "./Migrations/0004_sealed_peaks.ts"
import { latest } from "./Migrations/0005_latest.ts"
import { secrets } from "./Migrations/0006_secrets.ts"
import { clockShifts } from "./Migrations/0007_clock_shifts.ts"
import { index } from "./Migrations/0008_index.ts"
import { waveformHours } from "./Migrations/0009_waveform_hours.ts"
import { listed } from "./Migrations/0010_listed.ts"
import { deletion } from "./Migrations/0011_deletion.ts"
import { objectOrder } from "./Migrations/0012_object_order.ts"
import { retention } from "./Migrations/0013_retention.ts"
import { urlSecret } from "./Migrations/0014_url_secret.ts"
import { artifacts } from "./Migrations/0015_artifacts.ts"
import { artifactTurns } from "./Migrations/0016_artifact_turns.ts"
import { recentConversations } from "./Migrations/0017_recent_conversations.ts"
import { transcripts } from "./Migrations/0018_transcripts.ts"
import { userConsent } from "./Migrations/0019_user_consent.ts"
import { finalizations } from "./Migrations/0020_finalizations.ts"
import { speakerSamples } from "./Migrations/0021_speaker_samples.ts"
import { webhooks } from "./Migrations/0022_webhooks.ts"
import { webhookListeners } from "./Migrations/0023_webhook_listeners.ts"
import { audioEndpoints } from "./Migrations/0024_audio_endpoints.ts"
import { webhookScans } from "./Migrations/0025_webhook_scans.ts"
import { streams } from "./Migrations/0026_streams.ts"
import { chat } from "./Migrations/0027_chat.ts"
import { vods } from "./Migrations/0028_vods.ts"
import { streamNodes } from "./Migrations/0029_stream_nodes.ts"
import { streamIndexes } from "./Migrations/0030_stream_indexes.ts"
import { unannouncedVods } from "./Migrations/0031_unannounced_vods.ts"
import { chatDeletions } from "./Migrations/0032_chat_deletions.ts"
import { broadcastAudio } from "./Migrations/0033_broadcast_audio.ts"
import { vodRequests } from "./Migrations/0034_vod_requests.ts"
import { chunkClockShifts } from "./Migrations/0035_chunk_clock_shifts.ts"

/** In order of number. A released migration is never edited, and the previous release runs while this one starts. */
export const migrations = {
  "0001_recordings": recordings,
  "0002_peaks": peaks,
  "0003_timelines": timelines,
  "0004_sealed_peaks": sealedPeaks,
  "0005_latest": latest,
  "0006_secrets": secrets,
  "0007_clock_shifts": clockShifts,
  "0008_index": index,
  "0009_waveform_hours": waveformHours,
  "0010_listed": listed,
  "0011_deletion": deletion,
  "0012_object_order": objectOrder,
  "0013_retention": retention,
  "0014_url_secret": urlSecret,
  "0015_artifacts": artifacts,
  "0016_artifact_turns": artifactTurns,
  "0017_recent_conversations": recentConversations,
  "0018_transcripts": transcripts,
  "0019_user_consent": userConsent,
  "0020_finalizations": finalizations,
  "0021_speaker_samples": speakerSamples,
  "0022_webhooks": webhooks,
  "0023_webhook_listeners": webhookListeners,
  "0024_audio_endpoints": audioEndpoints,
  "0025_webhook_scans": webhookScans,
  "0026_streams": streams,
  "0027_chat": chat,
  "0028_vods": vods,
  "0029_stream_nodes": streamNodes,
  "0030_stream_indexes": streamIndexes,
  "0031_unannounced_vods": unannouncedVods,
  "0032_chat_deletions": chatDeletions,
  "0033_broadcast_audio": broadcastAudio,
  "0034_vod_requests": vodRequests,
  "0035_chunk_clock_shifts": chunkClockShifts
}

const table = "spillway_migrations"

/** The advisory lock; the same in every release. */
const lockKey = 0x7370_696c

const oldestServer = 15

/** How long a node waits for another that migrates before it fails to start. */
const lockPatience = Duration.minutes(10)
const lockPoll = Duration.millis(250)
const logEvery = Duration.seconds(10)

const checkVersion = Effect.fnUntraced(function* (sql: SqlClient.SqlClient, server: DbServer["Service"]) {
  const rows = yield* sql<{ readonly version: number }>`SELECT current_setting('server_version_num')::int AS version`
  const major = Math.floor((rows[0]?.version ?? 0) / 10_000)
  if (major < oldestServer)
    return yield* new DatabaseUnusable({
      problem: `The database ${server.name} is PostgreSQL ${major}`,
      remedy: `use PostgreSQL ${oldestServer} or later`
    })
})

const newest = Math.max(...Object.keys(migrations).map((key) => Number.parseInt(key, 10)))

/** True also for the schema of a later release, which this one can use. */
const isUpToDate = Effect.fnUntraced(function* (sql: SqlClient.SqlClient) {
  const [found] = yield* sql<{ readonly exists: boolean }>`SELECT to_regclass(${table}) IS NOT NULL AS exists`
  if (found?.exists !== true) return false
  const rows = yield* sql`SELECT migration_id FROM ${sql(table)} WHERE migration_id >= ${newest} LIMIT 1`
  return rows.length > 0
})

/** Undefined while another session holds the lock. The end of the transaction releases the lock. */
const migrateLocked = (sql: SqlClient.SqlClient) =>
  sql.withTransaction(
    Effect.gen(function* () {
      yield* sql`
        SELECT set_config('statement_timeout', '0', true), set_config('lock_timeout', '0', true),
               set_config('idle_in_transaction_session_timeout', '0', true)`
      const [lock] = yield* sql<{ readonly taken: boolean }>`
        SELECT pg_try_advisory_xact_lock(${lockKey}::bigint) AS taken`
      if (lock?.taken !== true) return undefined
      const migrate = Migrator.make({})({ loader: Migrator.fromRecord(migrations), table })
      return yield* Effect.provideService(migrate, SqlClient.SqlClient, sql)
    })
  )

const holderOf = Effect.fnUntraced(function* (sql: SqlClient.SqlClient) {
  const [holder] = yield* sql<{ readonly pid: number; readonly application: string | null }>`
    SELECT pid, application_name AS application FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND classid = 0 AND objid = ${lockKey} AND granted LIMIT 1`
  return holder
})

/** Runs the missing migrations in one transaction and returns them. Waits by polling, which occupies no session of a pooler. */
export function runWithin(patience: Duration.Duration) {
  return Effect.gen(function* () {
    const server = yield* DbServer
    const config = yield* DbConfig
    const clock = yield* Clock.Clock
    const sql = yield* PgClient.makeClient({
      connectTimeout: config.connectTimeout,
      ...server.login,
      applicationName: "spillway-migrations",
      prepare: false
    })
    yield* checkVersion(sql, server)
    const now = () => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)
    const end = now() + Duration.toMillis(patience)
    let nextLog = now()
    while (!(yield* isUpToDate(sql))) {
      const ran = yield* migrateLocked(sql)
      if (ran !== undefined) return ran
      const holder = yield* holderOf(sql)
      if (now() >= end)
        return yield* new DatabaseUnusable({
          problem: `Another session held the migration lock of the database ${server.name} for ${Duration.format(patience)}`,
          remedy: `start again when the node that migrates is done; if none does, run SELECT pg_terminate_backend(${holder?.pid ?? "pid"})`
        })
      if (now() >= nextLog) {
        nextLog = now() + Duration.toMillis(logEvery)
        yield* Effect.logInfo("Waiting for the session that holds the migration lock").pipe(
          Effect.annotateLogs({ database: server.name, ...holder })
        )
      }
      yield* Effect.sleep(lockPoll)
    }
    return []
  }).pipe(
    Effect.scoped,
    Effect.provide(Reactivity.layer),
    Effect.catchTags({
      SqlError: (error) => Effect.flatMap(DbServer, (server) => Effect.fail(fromSqlError(server, error))),
      MigrationError: (error) =>
        new DatabaseUnusable({
          problem: `${error.message} (${error.cause instanceof Error ? error.cause.message : error.kind})`,
          remedy: "the schema is unchanged; report this with the message above"
        })
    })
  )
}

export const run = Startup.during("The database's schema is being migrated.", runWithin(lockPatience))
