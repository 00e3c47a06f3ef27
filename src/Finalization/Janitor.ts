/** Answers requests to finish conversations, and runs their jobs. */
import { Layer, Metric } from "effect"
import { Finalization } from "../Finalization.ts"
import * as Janitor from "../Janitor.ts"
import * as Messages from "./Messages.ts"

const waiting = Metric.gauge("spillway_finalization_waiting", {
  description: "Requests to finish a conversation that wait or are being done, counted to 10,000"
})
const dead = Metric.gauge("spillway_finalization_dead", {
  description: "Requests to finish a conversation that were given up, counted to 10,000"
})

const loops = Layer.effectDiscard(
  Finalization.use((finalization) =>
    Janitor.fork(finalization, { subject: "requests to finish conversations", waiting, dead })
  )
)

export const layer = Layer.merge(loops, Messages.layer).pipe(Layer.provide(Finalization.layer))
