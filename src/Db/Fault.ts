/** What a `SqlError` means for trying again: decided by SQLSTATE and error class, never by message text. */
import { Predicate } from "effect"
import { SqlError } from "effect/sql"

/**
 * - `refused`: certainly not applied, and the same call may work soon.
 * - `broken`: the connection broke after the statement was sent; it may have been applied.
 * - `timeout`: the server stopped the statement.
 * - `unavailable`: certainly not applied, and trying again soon is of no use.
 * - `bug`: no fault of the database's availability: bad SQL, a constraint, a value that can't be encoded.
 */
export type Fault = "refused" | "broken" | "timeout" | "unavailable" | "bug"

export const isSqlError: (u: unknown) => u is SqlError.SqlError = SqlError.isSqlError

/**
 * The five-character code of PostgreSQL (its manual, appendix A); none when the server did not answer. What the server
 * reports has a severity, which tells its codes from Node's (`EPIPE`).
 */
export function sqlState(error: SqlError.SqlError): string | undefined {
  const cause = error.reason.cause
  return Predicate.hasProperty(cause, "severity") &&
    Predicate.hasProperty(cause, "code") &&
    Predicate.isString(cause.code)
    ? cause.code
    : undefined
}

/**
 * serialization_failure, deadlock_detected, lock_not_available, cannot_connect_now, too_many_connections. Then
 * admin_shutdown, crash_shutdown and idle_session_timeout: the client reports these only of a connection that they
 * closed while it was idle, so that the statement was not sent; one in flight is reported as a broken connection.
 */
const refused = new Set(["40001", "40P01", "55P03", "57P03", "53300", "57P01", "57P02", "57P05"])

/**
 * Connections, resources, operator intervention and system errors; a session that idled in its transaction; a server
 * that became a read-only standby; credentials that are no longer good.
 */
const unavailable = /^(08|53|57P|58|28|25P03|25006)/

/** The client names the phase in `operation`: while connecting, no statement was sent. */
export function of(error: SqlError.SqlError): Fault {
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
