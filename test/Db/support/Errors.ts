/** The errors that the client gives, as they look. */
import { SqlError } from "effect/sql"

type Phase = "connect" | "query"

/** What the server answered. */
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
