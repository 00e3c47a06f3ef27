/** A real PostgreSQL of several nodes, which can be killed. It restarts on its data directory at once. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { NodeServices } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { Effect, Exit, Layer, Redacted, References, Scope } from "effect"
import { Reactivity } from "effect/reactivity"
import { DbConfig } from "../../src/Db/DbConfig.ts"
import { DbServer } from "../../src/Db/DbServer.ts"
import * as EmbeddedPostgres from "../../src/Db/Postgres/EmbeddedPostgres.ts"
import { NodeConfig } from "../../src/NodeConfig.ts"
import * as Settings from "../../src/Settings.ts"
import * as Cluster from "./Cluster.ts"

export interface PostgresServer {
  /** For `DATABASE_URL`. */
  readonly url: string
  readonly query: <Row extends object>(text: string) => Promise<ReadonlyArray<Row>>
  /** Sends SIGKILL; false if it is down already. */
  readonly kill: () => boolean
  readonly stop: () => Promise<void>
}

/** For the pools of the nodes. */
const connections = 100

/** Durable: a commit that was answered survives. In a test run it begins as a copy of a migrated cluster. */
export const startPostgres = async (dataDir: string): Promise<PostgresServer> => {
  await Cluster.copyTo(dataDir)
  const layer = EmbeddedPostgres.layer.pipe(
    Layer.provide(
      Layer.effect(
        DbConfig,
        Effect.map(Settings.read(DbConfig.settings), (settings) => ({ ...settings, pool: connections }))
      )
    ),
    Layer.provide([Layer.succeed(NodeConfig, { dataDir }), NodeServices.layer]),
    Layer.provideMerge(Layer.succeed(References.MinimumLogLevel, "None"))
  )
  const scope = Scope.makeUnsafe()
  const { login } = await Effect.runPromise(
    Layer.buildWithScope(layer, scope).pipe(Effect.flatMap((context) => Effect.provideContext(DbServer, context)))
  )
  const password = Redacted.isRedacted(login.password) ? String(Redacted.value(login.password)) : ""
  const at = `host=${encodeURIComponent(login.host ?? "")}&port=${login.port ?? 5432}`
  const pidFile = Path.join(dataDir, "postgres/data/postmaster.pid")
  return {
    url: `postgres://${login.username}:${encodeURIComponent(password)}@/${login.database}?${at}`,
    query: <Row extends object>(text: string) =>
      PgClient.makeClient(login).pipe(
        Effect.flatMap((sql) => sql.unsafe<Row>(text)),
        Effect.scoped,
        Effect.provide(Reactivity.layer),
        Effect.runPromise
      ),
    kill: () => {
      const lines = Fs.existsSync(pidFile) ? Fs.readFileSync(pidFile, "utf8").split("\n") : []
      if (lines[7]?.trim() !== "ready") return false
      try {
        return process.kill(Number(lines[0]), "SIGKILL")
      } catch {
        return false
      }
    },
    stop: () => Effect.runPromise(Scope.close(scope, Exit.void))
  }
}
