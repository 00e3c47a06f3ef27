/** A node that only deletes: the janitor on a given database, and a store that several processes share. */
import { appendFileSync } from "node:fs"
import { Duration, Effect, Layer, Redacted, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { StorageBulkheads } from "../../../src/Bulkhead.ts"
import { BulkheadConfig } from "../../../src/Bulkhead/BulkheadConfig.ts"
import { DbConfig } from "../../../src/Db/DbConfig.ts"
import { DbServer } from "../../../src/Db/DbServer.ts"
import * as PgDb from "../../../src/Db/PgDb.ts"
import { Deletion } from "../../../src/Deletion.ts"
import * as Janitor from "../../../src/Deletion/Janitor.ts"
import { Storage } from "../../../src/Storage.ts"
import * as MemoryStorage from "../../../src/Storage/MemoryStorage.ts"

/**
 * With `log`, removing an object appends its key to this file; without, it removes the object's row. `pause` milliseconds go by
 * before.
 */
export const NodeOptions = Schema.fromJsonString(
  Schema.Struct({
    host: Schema.String,
    database: Schema.String,
    username: Schema.String,
    password: Schema.String,
    log: Schema.optionalKey(Schema.String),
    pause: Schema.optionalKey(Schema.Finite)
  })
)

const options = Schema.decodeUnknownSync(NodeOptions)(process.env["DELETION_NODE"])

const server = Layer.succeed(
  DbServer,
  DbServer.of({
    login: { ...options, port: 5432, password: Redacted.make(options.password) },
    name: "of the test",
    embedded: true,
    pooled: false
  })
)

const storage = Layer.effect(
  Storage,
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { log, pause = 0 } = options
    const removeRow = (key: string, generation = "") => sql`
      WITH gone AS (DELETE FROM objects WHERE key = ${key} AND generation = ${generation} RETURNING key, generation)
      INSERT INTO removals (key, generation, pid) SELECT key, generation, ${process.pid} FROM gone`
    return Storage.of({
      ...MemoryStorage.make(0),
      remove: (key, { generation } = {}) =>
        (log === undefined
          ? Effect.asVoid(Effect.orDie(removeRow(key, generation)))
          : Effect.sync(() => appendFileSync(log, `${key}\n`))
        ).pipe(Effect.delay(Duration.millis(pause)))
    })
  })
)

const program = Janitor.layer.pipe(
  Layer.provide(Deletion.layer),
  Layer.provide([storage, StorageBulkheads.layer.pipe(Layer.provide(BulkheadConfig.layer))]),
  Layer.provide(PgDb.layer),
  Layer.provide([server, DbConfig.layer])
)

await Effect.runPromise(
  Effect.scoped(
    Effect.andThen(
      Layer.build(program),
      Effect.andThen(
        Effect.sync(() => console.log("ready")),
        Effect.never
      )
    )
  )
)
