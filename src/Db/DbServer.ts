/** Where the database is and how to log in: the node's own PostgreSQL, or one from `DATABASE_URL`. */
import type { PgClient } from "@effect/sql-pg"
import { Context } from "effect"

export type Login = Pick<
  PgClient.PgClientConfig,
  | "host"
  | "port"
  | "path"
  | "ssl"
  | "stream"
  | "database"
  | "username"
  | "password"
  | "applicationName"
  | "startupOptions"
  | "connectTimeout"
>

export class DbServer extends Context.Service<
  DbServer,
  {
    readonly login: Login
    /** For messages; holds no secret. */
    readonly name: string
    /** Runs as our own child. */
    readonly embedded: boolean
    /**
     * A pooler lies in between: each transaction may run in another session of the server. Then sessions have no settings,
     * no locks and no prepared statements of ours.
     */
    readonly pooled: boolean
  }
>()("spillway/Db/DbServer") {}
