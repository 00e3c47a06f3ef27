/** Composition: all routes. */
import { Layer } from "effect"
import { Api } from "./Docs/Api.ts"
import * as Docs from "./Docs/DocsHttp.ts"
import * as Health from "./HealthHttp.ts"
import * as KeysHttp from "../Auth/KeysHttp.ts"
import * as Metrics from "./MetricsHttp.ts"
import * as DeletionsHttp from "../Deletion/AdminHttp.ts"
import * as PurgesHttp from "../Purges/Http.ts"
import * as ChatHttp from "../Chat/Http.ts"
import * as PrecacheHttp from "../Precache/Http.ts"
import * as PlaybackHttp from "../Playback/Http.ts"
import * as Following from "../Playback/Follow/Following.ts"
import { UrlSecret } from "../Playback/Urls/UrlSecret.ts"
import * as CapturesHttp from "../Pusher/CapturesHttp.ts"
import * as PusherHttp from "../Pusher/Http.ts"
import * as ObjectsHttp from "./ObjectsHttp.ts"
import * as SpeakerSamplesHttp from "../SpeakerSamples/Http.ts"
import * as StreamsHttp from "../Streams/Http.ts"
import * as TranscriptsHttp from "../Transcripts/Http.ts"
import * as UsersHttp from "../Users/Http.ts"
import * as VodsHttp from "../Vods/Http.ts"
import * as WebHttp from "../Web/Http.ts"
import * as WebhooksHttp from "../Webhooks/Http.ts"

export const layer = Layer.mergeAll(
  PusherHttp.layer,
  CapturesHttp.layer,
  Layer.merge(PlaybackHttp.layer, VodsHttp.layer).pipe(Layer.provide(UrlSecret.layer)),
  PrecacheHttp.layer,
  TranscriptsHttp.layer,
  ObjectsHttp.layer,
  KeysHttp.layer,
  DeletionsHttp.layer,
  PurgesHttp.layer,
  UsersHttp.layer,
  SpeakerSamplesHttp.layer,
  WebhooksHttp.layer,
  StreamsHttp.layer.pipe(Layer.provide(Following.layer)),
  ChatHttp.layer,
  Health.layer,
  Metrics.layer,
  Docs.layer(Api),
  WebHttp.layer
)
