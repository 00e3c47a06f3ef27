/** The database of this node, ready to use: reached or started, its schema up to date. */
import { Effect, Layer, Option, Redacted } from "effect"
import { DbConfig } from "./DbConfig.ts"
import { DbServer } from "./DbServer.ts"
import * as EmbeddedPostgres from "./EmbeddedPostgres.ts"
import * as Migrations from "./Migrations.ts"
import * as PgDb from "./PgDb.ts"

const nameOf = (url: Redacted.Redacted) => {
  const { hostname, port, pathname } = new URL(Redacted.value(url))
  return `${hostname}${port === "" ? "" : `:${port}`}${pathname}`
}

const external = (url: Redacted.Redacted) =>
  Layer.succeed(DbServer, { login: { url }, name: nameOf(url), embedded: false })

const server = Layer.unwrap(
  Effect.map(DbConfig, ({ url }) =>
    Option.match(url, { onNone: () => EmbeddedPostgres.layer, onSome: (url) => external(url) })
  )
)

/** On whatever `DbServer` is given. */
export const layerNoDeps = Layer.effectDiscard(Migrations.run).pipe(Layer.provideMerge(PgDb.layer))

/** `DATABASE_URL`, or else the node's own PostgreSQL. Fails with a `DatabaseUnusable`, whose message is for the operator. */
export const layer = layerNoDeps.pipe(Layer.provide(server))
