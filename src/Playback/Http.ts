/** Routes for conversations, audio, its URLs and waveforms. */
import { Layer } from "effect"
import * as AudioHttp from "./AudioHttp.ts"
import * as ConversationsHttp from "./ConversationsHttp.ts"
import * as ExportHttp from "./Export/ExportHttp.ts"
import * as SignedAudioHttp from "./Urls/SignedAudioHttp.ts"
import * as UrlsHttp from "./Urls/UrlsHttp.ts"
import * as WaveformHttp from "./Waveform/WaveformHttp.ts"

export const layer = Layer.mergeAll(
  AudioHttp.layer,
  ConversationsHttp.layer,
  ExportHttp.layer,
  SignedAudioHttp.layer,
  UrlsHttp.layer,
  WaveformHttp.layer
)
