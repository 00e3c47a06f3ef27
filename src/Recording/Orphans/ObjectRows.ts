/** Rows of chunks by the key of their object, in the order in which a store lists objects. */
import { Context, Effect, Layer, Schema } from "effect"
import { Db, type DbError } from "../../Db.ts"

const Row = Schema.Struct({ key: Schema.String, uid: Schema.String, conversation: Schema.String })
export type ObjectRow = typeof Row.Type

export class ObjectRows extends Context.Service<
  ObjectRows,
  {
    /** At most `limit` rows with later keys. */
    after(key: string, limit: number): Effect.Effect<ReadonlyArray<ObjectRow>, DbError>
    /** Those of the keys that a row has. */
    known(keys: ReadonlyArray<string>): Effect.Effect<ReadonlySet<string>, DbError>
    /** The planner's estimate of the number of chunks. */
    readonly estimate: Effect.Effect<number, DbError>
    /** Tells this database from others, copies made by pg_dump included. */
    readonly database: Effect.Effect<string, DbError>
  }
>()("spillway/Recording/Orphans/ObjectRows") {
  static readonly layer = Layer.effect(
    ObjectRows,
    Effect.suspend(() => make)
  )
}

const decodeRows = Schema.decodeUnknownEffect(Schema.Array(Row))
const decodeKeys = Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ key: Schema.String })))
const decodeEstimate = Schema.decodeUnknownEffect(Schema.Tuple([Schema.Struct({ rows: Schema.Finite })]))
const decodeName = Schema.decodeUnknownEffect(Schema.Tuple([Schema.Struct({ name: Schema.String })]))

const make = Effect.gen(function* () {
  const db = yield* Db
  return ObjectRows.of({
    after: Effect.fn("ObjectRows.after")((key, limit) =>
      db.read("ObjectRows.after", (sql) =>
        sql`
          SELECT object_key AS key, uid, conversation_id AS conversation FROM chunks
          WHERE object_key IS NOT NULL AND object_key COLLATE "C" > ${key}
          ORDER BY object_key COLLATE "C" LIMIT ${limit}`.pipe(
          Effect.flatMap(decodeRows),
          Effect.catchTag("SchemaError", Effect.die)
        )
      )
    ),
    known: Effect.fn("ObjectRows.known")(function* (keys) {
      if (keys.length === 0) return new Set<string>()
      const rows = yield* db.read("ObjectRows.known", (sql) =>
        sql`
          SELECT object_key AS key FROM chunks
          WHERE object_key IS NOT NULL AND object_key COLLATE "C" = ANY(${keys}::text[])`.pipe(
          Effect.flatMap(decodeKeys),
          Effect.catchTag("SchemaError", Effect.die)
        )
      )
      return new Set(rows.map(({ key }) => key))
    }),
    estimate: Effect.map(
      db.read("ObjectRows.estimate", (sql) =>
        sql`
          SELECT greatest(reltuples, 0)::float8 AS rows FROM pg_class WHERE oid = 'chunks'::regclass`.pipe(
          Effect.flatMap(decodeEstimate),
          Effect.catchTag("SchemaError", Effect.die)
        )
      ),
      ([{ rows }]) => rows
    ),
    database: Effect.map(
      db.read("ObjectRows.database", (sql) =>
        sql`
          SELECT current_database() || ' (' || s.system_identifier || '/' || d.oid || ')' AS name
          FROM pg_control_system() s, pg_database d WHERE d.datname = current_database()`.pipe(
          Effect.flatMap(decodeName),
          Effect.catchTag("SchemaError", Effect.die)
        )
      ),
      ([{ name }]) => name
    )
  })
})
