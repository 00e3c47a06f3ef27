/** Composition: the modules that work in the background, with the services that routes share with them. */
import { Layer } from "effect"
import * as Chat from "../Chat/Janitor.ts"
import * as Finalization from "../Finalization/Janitor.ts"
import * as Purges from "../Purges/Janitor.ts"
import * as SpeakerSamples from "../SpeakerSamples/Janitor.ts"
import { Streams } from "../Streams.ts"
import * as StreamsJanitor from "../Streams/Janitor.ts"
import { Transcripts } from "../Transcripts.ts"
import * as Vods from "../Vods/Janitor.ts"
import * as Webhooks from "../Webhooks/Janitor.ts"

export const layer = Layer.mergeAll(
  Vods.layer.pipe(Layer.provideMerge(Purges.layer)),
  Finalization.layer,
  Webhooks.layer,
  Layer.merge(Chat.layer, StreamsJanitor.layer).pipe(Layer.provideMerge(Streams.layer)),
  SpeakerSamples.layer.pipe(Layer.provideMerge(Transcripts.layer))
)
