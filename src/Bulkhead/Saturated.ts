/** How a bulkhead turns work away. */
import { Schema } from "effect"

/** The work was not run. `limit` is the bound it met: waiters in all, waiters of its key, or the time to wait. */
export class Saturated extends Schema.TaggedError<Saturated>()("Saturated", {
  bulkhead: Schema.String,
  key: Schema.String,
  limit: Schema.Literals(["waiting", "waitingPerKey", "waitTimeout"]),
  retryAfter: Schema.Duration
}) {}

/** A bug: work that holds a permit asked for another of the same bulkhead. When all do that, all wait for ever. */
export class NestedTake extends Schema.TaggedError<NestedTake>()("NestedTake", { bulkhead: Schema.String }) {
  override get message() {
    return `work that holds a permit of bulkhead ${this.bulkhead} asked it for another; only leaves may hold permits`
  }
}
