/** The database of a running server that has its own PostgreSQL. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Redacted } from "effect"

export const embeddedDatabase = (dataDir: string) =>
  Layer.unwrap(
    Effect.sync(() =>
      PgClient.layer({
        host: Path.join(dataDir, "postgres/run"),
        port: 5432,
        database: "postgres",
        username: "spillway",
        password: Redacted.make(Fs.readFileSync(Path.join(dataDir, "postgres/password"), "utf8"))
      })
    )
  )
