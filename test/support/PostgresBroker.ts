/** One real PostgreSQL for a whole test run, with a migrated database to copy. */
import { NodeServices } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { Duration, Effect, Exit, Layer, Redacted, Schema, Scope } from "effect"
import { Reactivity } from "effect/reactivity"
import { DbConfig } from "../../src/Db/DbConfig.ts"
import { DbServer } from "../../src/Db/DbServer.ts"
import * as EmbeddedPostgres from "../../src/Db/Postgres/EmbeddedPostgres.ts"
import * as Migrations from "../../src/Db/Migrations.ts"
import { NodeConfig } from "../../src/NodeConfig.ts"
import * as Settings from "../../src/Settings.ts"
import type { Started } from "./OnDemand.ts"

/** The superuser's login, as a test file receives it. */
export const Answer = Schema.Struct({ sockets: Schema.String, username: Schema.String, password: Schema.String })

/** Every test file's database is a copy of this one. */
export const template = "spillway_template"

/** For every pool of every test file that runs at the same time. */
const connections = 300

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

/** For `share`. */
export const start = async (dataDir: string): Promise<Started> => {
  const scope = Scope.makeUnsafe()
  const close = () => Effect.runPromise(Scope.close(scope, Exit.void))
  const starting = Effect.gen(function* () {
    const context = yield* Layer.build(server(dataDir))
    yield* Effect.provideContext(makeTemplate, context)
    const { login } = yield* Effect.provideContext(DbServer, context)
    const password = Redacted.isRedacted(login.password) ? Redacted.value(login.password) : ""
    return JSON.stringify({ sockets: login.host, username: login.username, password })
  })
  try {
    return { answer: await Effect.runPromise(Scope.provide(starting, scope)), close }
  } catch (error) {
    await close()
    throw error
  }
}
