/** One real PostgreSQL for a whole test run, started when the first test file asks for it. */
import { mkdirSync, readdirSync, rmSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { Duration, Effect, Exit, Layer, Redacted, Schema, Scope } from "effect"
import { Reactivity } from "effect/reactivity"
import { DbConfig } from "../../src/Db/DbConfig.ts"
import { DbServer } from "../../src/Db/DbServer.ts"
import * as EmbeddedPostgres from "../../src/Db/EmbeddedPostgres.ts"
import * as Migrations from "../../src/Db/Migrations.ts"
import { NodeConfig } from "../../src/NodeConfig.ts"
import * as Settings from "../../src/Settings.ts"

/** What a test file is told: how to log in as the superuser. */
export const Answer = Schema.Struct({ sockets: Schema.String, username: Schema.String, password: Schema.String })

/** Every test file's database is a copy of this one. */
export const template = "spillway_template"

/** For every pool of every test file that runs at the same time. */
const connections = 300

const prefix = "spillway-test-"

/** What runs that were killed have left. */
const sweep = () => {
  for (const name of readdirSync(tmpdir())) {
    const pid = new RegExp(`^${prefix}(\\d+)$`).exec(name)?.[1]
    if (pid === undefined) continue
    try {
      process.kill(Number(pid), 0)
    } catch {
      rmSync(join(tmpdir(), name), { recursive: true, force: true })
    }
  }
}

const server = (dataDir: string) =>
  EmbeddedPostgres.layerNotDurable.pipe(
    Layer.provideMerge(
      Layer.effect(
        DbConfig,
        Effect.map(Settings.read(DbConfig.settings), (settings) => ({
          ...settings,
          pool: connections,
          postgresStopTimeout: Duration.seconds(2)
        }))
      )
    ),
    Layer.provide(Layer.succeed(NodeConfig, { dataDir })),
    Layer.provide(NodeServices.layer)
  )

const makeTemplate = Effect.gen(function* () {
  const running = yield* DbServer
  const sql = yield* PgClient.makeClient(running.login)
  yield* sql`CREATE DATABASE ${sql(template)}`
  yield* Migrations.run.pipe(
    Effect.provideService(DbServer, { ...running, login: { ...running.login, database: template } })
  )
}).pipe(Effect.scoped, Effect.provide(Reactivity.layer))

const start = (dataDir: string) =>
  Effect.gen(function* () {
    const context = yield* Layer.build(server(dataDir))
    yield* Effect.provideContext(makeTemplate, context)
    const { login } = yield* Effect.provideContext(DbServer, context)
    const password = Redacted.isRedacted(login.password) ? Redacted.value(login.password) : ""
    return JSON.stringify({ sockets: login.host, username: login.username, password })
  })

/** Answers with the socket on which test files ask, and with how to end everything. */
export const open = async () => {
  sweep()
  const directory = join(tmpdir(), `${prefix}${process.pid}`)
  mkdirSync(directory, { mode: 0o711, recursive: true })
  const scope = Scope.makeUnsafe()
  let starting: Promise<string> | undefined
  const broker = createServer((socket) => {
    socket.on("error", () => undefined)
    starting ??= Effect.runPromise(Scope.provide(start(join(directory, "data")), scope))
    starting.then(
      (answer) => socket.end(answer),
      (error) => socket.end(String(error))
    )
  })
  const path = join(directory, "broker")
  await new Promise<void>((resolve) => broker.listen(path, resolve))
  const close = async () => {
    broker.close()
    await starting?.catch(() => undefined)
    await Effect.runPromise(Scope.close(scope, Exit.void))
    rmSync(directory, { recursive: true, force: true })
  }
  return { path, close }
}
