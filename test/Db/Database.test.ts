/** An external database: used when it is reachable, else one clear line. */
import { assert, layer } from "@effect/vitest"
import { Cause, Duration, Effect, Exit, Layer, Option, Redacted } from "effect"
import { NodeServices } from "@effect/platform-node"
import { Db } from "../../src/Db.ts"
import * as Database from "../../src/Db/Database.ts"
import { DatabaseUnusable } from "../../src/Db/DatabaseUnusable.ts"
import { DbServer } from "../../src/Db/DbServer.ts"
import { NodeConfig } from "../../src/NodeConfig.ts"
import * as Postgres from "../support/Postgres.ts"
import { configWith } from "./support/Fixture.ts"

const database = (url: string) =>
  Layer.fresh(Database.layer).pipe(
    Layer.provide(configWith({ url: Option.some(Redacted.make(url)), startTimeout: Duration.millis(300) })),
    Layer.provide(Layer.succeed(NodeConfig, { dataDir: "/nowhere" })),
    Layer.provide(NodeServices.layer)
  )

/** The empty database of this test as a URL, with some parts changed. */
const urlOf = (changes: { readonly password?: string; readonly database?: string; readonly sockets?: string } = {}) =>
  Effect.map(DbServer, ({ login }) => {
    const standard = Redacted.isRedacted(login.password) ? Redacted.value(login.password) : ""
    const host = encodeURIComponent(changes.sockets ?? login.host ?? "")
    return (
      `postgres://${login.username}:${changes.password ?? standard}@localhost/` +
      `${changes.database ?? login.database}?host=${host}`
    )
  })

const failure = (url: string) =>
  Effect.gen(function* () {
    const exit = yield* Effect.exit(Effect.scoped(Layer.build(database(url))))
    const error = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.findErrorOption(exit.cause)) : undefined
    assert.instanceOf(error, DatabaseUnusable)
    assert.notInclude(error.message, "\n")
    return error.message
  })

layer(Layer.fresh(Postgres.layerServerEmpty), { excludeTestServices: true })("Database", (it) => {
  it.effect("connects to DATABASE_URL, and migrates its schema", () =>
    Effect.gen(function* () {
      const rows = yield* Effect.gen(function* () {
        const db = yield* Db
        return yield* db.read("Test.count", (sql) => sql`SELECT count(*)::int AS n FROM chunks`)
      }).pipe(Effect.provide(database(yield* urlOf())))
      assert.deepStrictEqual(rows, [{ n: 0 }])
    })
  )

  it.effect("says that the password is wrong, without showing it", () =>
    Effect.gen(function* () {
      const message = yield* failure(yield* urlOf({ password: "hunter2" }))
      assert.match(
        message,
        /^The database \/[\w/.-]+\/t_\w+ can't be used \(28P01: .*\): check the user and the password in/
      )
      assert.notInclude(message, "hunter2")
    })
  )

  it.effect("says that the database does not exist", () =>
    Effect.gen(function* () {
      const message = yield* failure(yield* urlOf({ database: "absent" }))
      assert.match(message, /3D000.*: create the database, or name another in DATABASE_URL$/)
    })
  )

  it.effect("waits for a server that does not answer up to a bound, then says so", () =>
    Effect.gen(function* () {
      const [took, message] = yield* Effect.timed(failure(yield* urlOf({ sockets: "/tmp/absent" })))
      assert.isAtLeast(Duration.toMillis(took), 250)
      assert.match(message, /ENOENT.*: check that it runs and that DATABASE_URL names its host and port$/)
    })
  )
})
