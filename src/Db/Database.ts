/** The database of this node, ready to use: reached or started, its schema up to date. */
import { Effect, Layer, Option } from "effect"
import { DbConfig } from "./DbConfig.ts"
import * as EmbeddedPostgres from "./Postgres/EmbeddedPostgres.ts"
import * as External from "./External/External.ts"
import * as Migrations from "./Migrations.ts"
import * as PgDb from "./PgDb.ts"

const server = Layer.unwrap(
  Effect.map(DbConfig, ({ url }) => Option.match(url, { onNone: () => EmbeddedPostgres.layer, onSome: External.layer }))
)

/** On whatever `DbServer` is given. */
export const layerNoDeps = Layer.effectDiscard(Migrations.run).pipe(Layer.provideMerge(PgDb.layer))

/** `DATABASE_URL`, or else the node's own PostgreSQL. Fails with a `DatabaseUnusable`, whose message is for the operator. */
export const layer = layerNoDeps.pipe(Layer.provide(server))
