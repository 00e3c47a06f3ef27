/** Whether a listener waits for the work. Background work has permits of its own, so that it never uses those of listeners. */
import { Context, Effect } from "effect"

/** Inherited by forked fibers. A leaf that takes a permit decides by it which bulkhead it runs in. */
export const Priority = Context.Reference<"interactive" | "background">("spillway/Bulkhead/Priority", {
  defaultValue: () => "interactive"
})

export const inBackground: <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R> = Effect.provideService(
  Priority,
  "background"
)
