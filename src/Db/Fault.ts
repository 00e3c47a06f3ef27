/** Classifies a `SqlError` for retries by SQLSTATE and error class, never by message text. */
import { Predicate } from "effect"
import { SqlError } from "effect/sql"

/**
 * - `refused`: certainly not applied, and a retry may succeed soon.
 * - `broken`: the connection broke after the statement was sent; it may have been applied.
 * - `timeout`: the server stopped the statement.
 * - `unavailable`: certainly not applied, and an early retry is useless.
 * - `bug`: not a matter of availability: invalid SQL, a constraint, a value that cannot be encoded.
 */
export type Fault = "refused" | "broken" | "timeout" | "unavailable" | "bug"

export const isSqlError: (u: unknown) => u is SqlError.SqlError = SqlError.isSqlError

/** The SQLSTATE (PostgreSQL manual, appendix A). The server's errors have a severity, which Node's (`EPIPE`) have not. */
export function sqlState(error: SqlError.SqlError): string | undefined {
  const cause = error.reason.cause
  return Predicate.hasProperty(cause, "severity") &&
    Predicate.hasProperty(cause, "code") &&
    Predicate.isString(cause.code)
    ? cause.code
    : undefined
}

/**
 * serialization_failure, deadlock_detected, lock_not_available, cannot_connect_now, too_many_connections. Also
 * admin_shutdown, crash_shutdown and idle_session_timeout, which the client reports only for a connection that was closed
 * while idle, before the statement was sent; for a statement in flight it reports a broken connection.
 */
const refused = new Set(["40001", "40P01", "55P03", "57P03", "53300", "57P01", "57P02", "57P05"])

/** Connection, resource, operator and system errors; idle-in-transaction timeout; read-only standby; rejected credentials. */
const unavailable = /^(08|53|57P|58|28|25P03|25006)/

/** While the client connects (`operation` is `connect`), no statement has been sent. */
export function classify(error: SqlError.SqlError): Fault {
  const code = sqlState(error)
  const connecting = error.reason.operation === "connect"
  if (code !== undefined) {
    if (refused.has(code)) return "refused"
    if (code === "57014") return "timeout"
    if (connecting) return /^(08|57P)/.test(code) ? "refused" : "unavailable"
    return unavailable.test(code) ? "unavailable" : "bug"
  }
  switch (error.reason._tag) {
    case "ConnectionError":
      return connecting ? "refused" : "broken"
    case "AuthenticationError":
      return "unavailable"
    default:
      return "bug"
  }
}
