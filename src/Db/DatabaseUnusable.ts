/** The error of a database that cannot be used, and its message for the operator. */
import { Schema } from "effect"
import type { SqlError } from "effect/sql"
import type { DbServer } from "./DbServer.ts"
import * as Fault from "./Fault.ts"

/** The program cannot start. The message is one line: the problem, then the remedy. Neither contains a secret. */
export class DatabaseUnusable extends Schema.TaggedError<DatabaseUnusable>()("DatabaseUnusable", {
  problem: Schema.String,
  remedy: Schema.String
}) {
  override get message() {
    return `${this.problem}: ${this.remedy}`
  }
}

type Place = Pick<DbServer["Service"], "name" | "embedded">

const remedyFor = (code: string | undefined, error: SqlError.SqlError, embedded: boolean): string => {
  if (code?.startsWith("28") === true || error.reason._tag === "AuthenticationError")
    return "check the user and the password in DATABASE_URL"
  if (code === "3D000") return "create the database, or name another in DATABASE_URL"
  if (code === "42501") return "let the user create tables in it (GRANT CREATE ON SCHEMA public)"
  return embedded
    ? "see PostgreSQL's own messages in the log"
    : "check that it runs and that DATABASE_URL names its host and port"
}

/** Adds the remedy for the SQLSTATE of the error. */
export function fromSqlError({ embedded, name }: Place, error: SqlError.SqlError): DatabaseUnusable {
  const code = Fault.sqlState(error)
  const cause = error.reason.cause
  const detail = cause instanceof Error && cause.message !== "" ? cause.message : error.message
  const problem = `The database ${name} can't be used (${code === undefined ? detail : `${code}: ${detail}`})`
  return new DatabaseUnusable({ problem, remedy: remedyFor(code, error, embedded) })
}
