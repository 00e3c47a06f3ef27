/** `DATABASE_URL` of a database. */
import { Redacted } from "effect"
import type { Login } from "../../src/Db/DbServer.ts"

export const urlOf = ({ database, host, password, port, username }: Login): string => {
  const secret = Redacted.isRedacted(password) ? String(Redacted.value(password)) : ""
  return `postgres://${username}:${encodeURIComponent(secret)}@/${database}?host=${encodeURIComponent(host ?? "")}&port=${port ?? 5432}`
}
