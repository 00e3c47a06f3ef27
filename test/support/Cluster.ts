/** A migrated PostgreSQL cluster that is not running. The servers of a test run start with copies of it. */
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { promisify } from "node:util"
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer } from "effect"
import { Reactivity } from "effect/reactivity"
import { DbServer } from "../../src/Db/DbServer.ts"
import * as Migrations from "../../src/Db/Migrations.ts"
import { NodeConfig } from "../../src/NodeConfig.ts"
import * as EmbeddedPostgres from "../../src/Db/Postgres/EmbeddedPostgres.ts"
import { DbConfig } from "../../src/Db/DbConfig.ts"
import { NodeServices } from "@effect/platform-node"
import { ask, type Started } from "./OnDemand.ts"

/** Names the socket that answers with the cluster's directory. Scripts and benches have none. */
export const variable = "TEST_CLUSTER"

/** No test needs this template, and without it a copy has a quarter fewer files. */
const dropTemplate = Effect.gen(function* () {
  const { login } = yield* DbServer
  const sql = yield* PgClient.makeClient(login)
  yield* sql`ALTER DATABASE template0 IS_TEMPLATE false`
  yield* sql`DROP DATABASE template0`
}).pipe(Effect.scoped, Effect.provide(Reactivity.layer))

/** Makes a hole of the zeros at the end, which `cp` then leaves out. */
const trim = (file: string) => {
  const bytes = Fs.readFileSync(file)
  Fs.truncateSync(file, bytes.findLastIndex((byte) => byte !== 0) + 1)
  Fs.truncateSync(file, bytes.length)
}

/** For `share`. */
export const start = async (dataDir: string): Promise<Started> => {
  const cluster = EmbeddedPostgres.layerNotDurable.pipe(
    Layer.provideMerge(DbConfig.layer),
    Layer.provide(Layer.succeed(NodeConfig, { dataDir })),
    Layer.provide(NodeServices.layer)
  )
  await Effect.runPromise(Effect.provide(Effect.andThen(Migrations.run, dropTemplate), cluster))
  const wal = Path.join(dataDir, "postgres/data/pg_wal")
  for (const entry of Fs.readdirSync(wal, { withFileTypes: true })) if (entry.isFile()) trim(Path.join(wal, entry.name))
  return { answer: JSON.stringify({ directory: Path.join(dataDir, "postgres") }), close: () => Promise.resolve() }
}

/** Gives a data directory a database, unless it has one or there is none to copy. */
export const copyTo = async (dataDir: string): Promise<void> => {
  const socket = process.env[variable]
  const target = Path.join(dataDir, "postgres")
  if (socket === undefined || Fs.existsSync(target)) return
  const { directory }: { readonly directory: string } = JSON.parse(await ask(socket))
  Fs.mkdirSync(dataDir, { recursive: true })
  // Keeps the owner.
  await promisify(execFile)("cp", ["-a", directory, target])
}
