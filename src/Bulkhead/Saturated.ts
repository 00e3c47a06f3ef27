/** How a bulkhead rejects work, and how work in progress waits until it is accepted. */
import { Schedule, Schema } from "effect"

/** The work was not run. `limit` is the bound that was reached: waiters of all keys, or waiters of its key. */
export class Saturated extends Schema.TaggedError<Saturated>()("Saturated", {
  bulkhead: Schema.String,
  key: Schema.String,
  limit: Schema.Literals(["waiting", "waitingPerKey"]),
  retryAfter: Schema.Duration
}) {}

/** Retries for up to 10 s while the queue of waiters is full, for a response that has begun. */
export const whileSaturated = Schedule.spaced("500 millis").pipe(
  Schedule.upTo({ times: 20 }),
  Schedule.setInputType<{ readonly _tag: string }>(),
  Schedule.while(({ input }) => input._tag === "Saturated")
)

/** A bug: work that holds a permit requested another one of the same bulkhead, which can deadlock. */
export class NestedRun extends Schema.TaggedError<NestedRun>()("NestedRun", { bulkhead: Schema.String }) {
  override get message() {
    return `work that holds a permit of bulkhead ${this.bulkhead} requested another one; a run must not contain another run`
  }
}
