/** A fresh, migrated, real database for each test file, dropped afterwards. */
import { randomBytes } from "node:crypto"
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Redacted, Schema } from "effect"
import { Reactivity } from "effect/reactivity"
import { inject } from "vitest"
import { DbConfig } from "../../src/Db/DbConfig.ts"
import { DbServer } from "../../src/Db/DbServer.ts"
import * as PgDb from "../../src/Db/PgDb.ts"
import { ask } from "./OnDemand.ts"
import { Answer, template } from "./PostgresBroker.ts"

const decode = Schema.decodeEffect(Schema.fromJsonString(Answer))

const admin = <A, E>(login: PgClient.PgClientConfig, use: (sql: PgClient.PgClient) => Effect.Effect<A, E>) =>
  PgClient.makeClient({ ...login, database: "postgres" }).pipe(
    Effect.flatMap(use),
    Effect.scoped,
    Effect.provide(Reactivity.layer),
    Effect.orDie
  )

const make = (from: string) =>
  Effect.gen(function* () {
    const answer = yield* Effect.promise(() => ask(inject("postgresBroker")))
    const { sockets, username, password } = yield* Effect.orDie(decode(answer))
    const login = { host: sockets, port: 5432, username, password: Redacted.make(password) }
    const database = `t_${randomBytes(8).toString("hex")}`
    yield* Effect.acquireRelease(
      admin(login, (sql) => sql`CREATE DATABASE ${sql(database)} TEMPLATE ${sql(from)} STRATEGY file_copy`),
      () => admin(login, (sql) => sql`DROP DATABASE ${sql(database)} WITH (FORCE)`)
    )
    return DbServer.of({
      login: { ...login, database },
      name: `of the test ${database}`,
      embedded: true,
      pooled: false
    })
  })

/** Address of a fresh and migrated database. */
export const layerServer = Layer.effect(DbServer, make(template))

/** Address of an empty database. */
export const layerServerEmpty = Layer.effect(DbServer, make("template0"))

/** `Db` and `SqlClient` on a fresh and migrated database, a new one each time the layer is provided. */
export const layer = PgDb.layer.pipe(Layer.provideMerge(Layer.fresh(layerServer)), Layer.provideMerge(DbConfig.layer))
