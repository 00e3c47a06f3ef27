/** Where the database is and how to log in: the node's own PostgreSQL, or one from `DATABASE_URL`. */
import type { PgClient } from "@effect/sql-pg"
import { Context } from "effect"

type Login = Pick<PgClient.PgClientConfig, "url" | "host" | "port" | "path" | "database" | "username" | "password">

export class DbServer extends Context.Service<
  DbServer,
  {
    readonly login: Login
    /** For messages; holds no secret. */
    readonly name: string
    /** Runs as our own child: it answers when it has been started, so that waiting for it is of no use. */
    readonly embedded: boolean
  }
>()("spillway/Db/DbServer") {}
