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
    /** Whether it is a child process of this node. */
    readonly embedded: boolean
    /**
     * Whether a pooler assigns each transaction to a server session. Then session settings, session locks and prepared
     * statements are unavailable.
     */
    readonly pooled: boolean
  }
>()("spillway/Db/DbServer") {}
