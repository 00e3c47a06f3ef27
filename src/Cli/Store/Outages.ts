/** Waits out short outages of the store and the database, for commands that use them directly. */
import { Effect } from "effect"
import { DbBusy, type DbError, DbTimeout, DbUnavailable } from "../../Db.ts"
import { StorageUnavailable } from "../../Storage.ts"
import type { CliConfig } from "../CliConfig.ts"
import * as Reconnect from "../Reconnect.ts"

type Transient = StorageUnavailable | DbError

const isTransient = (error: unknown): error is Transient =>
  error instanceof StorageUnavailable ||
  error instanceof DbUnavailable ||
  error instanceof DbTimeout ||
  error instanceof DbBusy

const reasonOf = (error: Transient): string => {
  if (error._tag === "StorageUnavailable") return error.message
  return error._tag === "DbTimeout" ? "The database is too slow" : "The database does not answer"
}

/** Repeats work that is harmless when done twice. `progress`: any number that grows as the command advances. */
export function waitOut<A, E, R>(
  work: Effect.Effect<A, E | Transient, R>,
  progress: () => number,
  config: CliConfig["Service"]
) {
  return Reconnect.reconnecting(
    Effect.catchIf(work, isTransient, (error) => new Reconnect.Disconnected({ reason: reasonOf(error) })),
    Effect.sync(progress),
    config
  )
}
