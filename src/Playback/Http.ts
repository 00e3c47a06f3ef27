/** Routes for conversations, audio and waveforms. */
import { Layer } from "effect"
import * as AudioHttp from "./AudioHttp.ts"
import * as ConversationsHttp from "./ConversationsHttp.ts"
import * as WaveformHttp from "./WaveformHttp.ts"

export const layer = Layer.mergeAll(AudioHttp.layer, ConversationsHttp.layer, WaveformHttp.layer)
