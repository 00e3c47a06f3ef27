/** The address and login of the database: the embedded PostgreSQL, or the one of `DATABASE_URL`. */
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
    /** For messages; contains no secret. */
    readonly name: string
    readonly embedded: boolean
    /** A pooler assigns each transaction to a server session: no session settings, session locks or prepared statements. */
    readonly pooled: boolean
  }
>()("spillway/Db/DbServer") {}
