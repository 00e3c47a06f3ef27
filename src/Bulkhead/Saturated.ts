/** How a bulkhead rejects work. */
import { Schema } from "effect"

/** The work was not run. `limit` is the bound that was reached: waiters of all keys, or waiters of its key. */
export class Saturated extends Schema.TaggedError<Saturated>()("Saturated", {
  bulkhead: Schema.String,
  key: Schema.String,
  limit: Schema.Literals(["waiting", "waitingPerKey"]),
  retryAfter: Schema.Duration
}) {}

/** A bug: work that holds a permit requested another one of the same bulkhead, which can deadlock. */
export class NestedRun extends Schema.TaggedError<NestedRun>()("NestedRun", { bulkhead: Schema.String }) {
  override get message() {
    return `work that holds a permit of bulkhead ${this.bulkhead} requested another one; a run must not contain another run`
  }
}
