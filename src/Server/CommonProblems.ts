/** Problems that any route can respond with, 429 and 503: full bounds, an unavailable database, an unavailable store. */
import { Duration, Layer } from "effect"
import { NoSeat, Saturated } from "../Bulkhead.ts"
import { DbBusy, DbTimeout, DbUnavailable } from "../Db.ts"
import { Problem, ProblemRules, rule } from "../Http.ts"
import { StorageRefused, StorageUnavailable } from "../Storage.ts"

const again = "Try again in a second."

const noSeat = ({ limit, of, seats, setting }: NoSeat): Problem => {
  const code = seats.replaceAll(" ", "-")
  const bound = `${limit} at once (${setting})`
  return of === "node"
    ? Problem.unavailable(
        code,
        `The node has reached its limit of ${seats}`,
        `It allows ${bound}. Try another node, or try again later.`,
        5
      )
    : Problem.tooMany(
        `${code}-of-user`,
        `The user has too many ${seats}`,
        `A user may have ${bound}. End one, and try again.`,
        5
      )
}

const rules = ProblemRules.layerOf(
  rule(DbUnavailable, () => Problem.unavailable("database-unavailable", "The database does not respond", again)),
  rule(DbTimeout, () => Problem.unavailable("database-timeout", "The database is too slow", again)),
  rule(DbBusy, () =>
    Problem.tooMany("too-many-requests", "The user has too many requests at once", `The user's queue is full. ${again}`)
  ),
  rule(Saturated, ({ bulkhead, retryAfter }) =>
    Problem.unavailable(
      "saturated",
      "The node is busy",
      `The queue of ${bulkhead} is full. Try again later.`,
      Math.ceil(Duration.toSeconds(retryAfter))
    )
  ),
  rule(NoSeat, noSeat),
  rule(StorageUnavailable, () =>
    Problem.unavailable("storage-unavailable", "The object store does not respond", again)
  ),
  rule(StorageRefused, () =>
    Problem.unavailable(
      "storage-refused",
      "The object store rejects requests",
      "The reason is in the server's log.",
      60
    )
  )
)

export const layer = Layer.provideMerge(rules, ProblemRules.layer)
