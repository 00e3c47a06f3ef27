/** The database of this node: reached or started, and migrated. */
import { Effect, Layer, Option } from "effect"
import { DbConfig } from "./DbConfig.ts"
import * as EmbeddedPostgres from "./Postgres/EmbeddedPostgres.ts"
import * as External from "./External/External.ts"
import * as Migrations from "./Migrations.ts"
import { Notifications } from "./Notifications.ts"
import * as PgDb from "./PgDb.ts"

const server = Layer.unwrap(
  Effect.map(DbConfig, ({ url }) => Option.match(url, { onNone: () => EmbeddedPostgres.layer, onSome: External.layer }))
)

export const layerNoDeps = Notifications.layer.pipe(
  Layer.provideMerge(Layer.effectDiscard(Migrations.run)),
  Layer.provideMerge(PgDb.layer)
)

/** `DATABASE_URL`, or else the embedded PostgreSQL. Fails with `DatabaseUnusable`, whose message is for the operator. */
export const layer = layerNoDeps.pipe(Layer.provide(server))
