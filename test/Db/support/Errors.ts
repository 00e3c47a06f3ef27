/** The client's errors, in their form. */
import { SqlError } from "effect/sql"

type Phase = "connect" | "query"

/** An error response of the server. */
export const answered = (code: string, operation: Phase = "query") =>
  new SqlError.SqlError({
    reason: new SqlError.UnknownError({
      cause: Object.assign(new Error("from the server"), { code, severity: "ERROR" }),
      operation
    })
  })

/** The connection could not be opened, or broke. */
export const broke = (operation: Phase, code = "EPIPE") =>
  new SqlError.SqlError({
    reason: new SqlError.ConnectionError({ cause: Object.assign(new Error("broke"), { code }), operation })
  })
