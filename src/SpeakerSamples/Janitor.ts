/** Accepts requests for speaker samples, and cuts those that are due. */
import { Layer, Metric } from "effect"
import * as Janitor from "../Janitor.ts"
import { SpeakerSamples } from "../SpeakerSamples.ts"
import * as Messages from "./Messages.ts"

const waiting = Metric.gauge("spillway_speaker_sample_waiting", {
  description: "Speaker samples that wait or are being cut, counted to 10,000"
})
const dead = Metric.gauge("spillway_speaker_sample_dead", {
  description: "Speaker samples that were given up after 20 failures, counted to 10,000"
})

const loops = Layer.effectDiscard(
  SpeakerSamples.use((samples) => Janitor.fork(samples, { subject: "speaker samples", waiting, dead }))
)

/** With the service itself. */
export const layer = Layer.merge(loops, Messages.layer).pipe(Layer.provideMerge(SpeakerSamples.layer))
