/** Composition: the HTTP contracts of all modules, for `/openapi.json` and `/docs`. */
import { Predicate } from "effect"
import { HttpApi, OpenApi } from "effect/http-api"
import { KeysGroup } from "../../Auth/KeysApi.ts"
import { AdminGroup as DeletionsGroup } from "../../Deletion/AdminApi.ts"
import { ChatGroup, ModerationGroup } from "../../Chat/Api.ts"
import { AudioGroup } from "../../Playback/AudioApi.ts"
import { ConversationsGroup } from "../../Playback/ConversationsApi.ts"
import { ExportGroup } from "../../Playback/Export/ExportApi.ts"
import { SignedAudioGroup } from "../../Playback/Urls/SignedAudioApi.ts"
import { UrlsGroup } from "../../Playback/Urls/UrlsApi.ts"
import { WaveformGroup } from "../../Playback/Waveform/WaveformApi.ts"
import { PrecacheGroup } from "../../Precache/Api.ts"
import { PurgesGroup } from "../../Purges/Api.ts"
import { CapturesGroup } from "../../Pusher/CapturesApi.ts"
import { SpeakerSamplesGroup } from "../../SpeakerSamples/Api.ts"
import { StreamAudioGroup, StreamGroup, StreamsGroup } from "../../Streams/Api.ts"
import { TranscriptsGroup } from "../../Transcripts/Api.ts"
import { UsersGroup } from "../../Users/Api.ts"
import { VodGroup, VodsGroup } from "../../Vods/Api.ts"
import { DeliveriesGroup as WebhookDeliveriesGroup, eventsSection } from "../../Webhooks/Deliveries/Api.ts"
import { EndpointsGroup } from "../../Webhooks/Endpoints/Api.ts"
import { ListenersGroup } from "../../Webhooks/Listeners/Api.ts"

const query = (name: string, description: string) => ({
  name,
  in: "query",
  required: false,
  schema: { type: "string" },
  description
})

/** The capture socket is not an `HttpApi` endpoint, so its upgrade is described here and its messages in docs/protocol.md. */
const listen = {
  get: {
    tags: ["capture"],
    operationId: "capture.listen",
    summary: "Open a capture socket (WebSocket)",
    description:
      "Binary messages, a u32 LE opcode first. The key may also be `?access_token=` or the subprotocol `bearer.<key>`.",
    security: [{ bearer: [] }],
    parameters: [
      query("sample_rate", "8000 to 48000 Hz, default 16000; with Opus 8000, 12000, 16000, 24000 or 48000"),
      query("codec", "`pcm16` (default) or `opus`: packets, each preceded by its u16 LE length"),
      query("audio_timeline", "`2`: timestamps are exact"),
      query("ack", "`1`: the server acknowledges durable audio"),
      query("uid", "Another user, with a service key")
    ],
    responses: {
      101: {
        description:
          "The socket is open. It is closed with 1013 at the limit of captures of the node or the user, with 1001 when the node stops"
      },
      401: { description: "No valid key" },
      426: { description: "Not a WebSocket upgrade" },
      503: { description: "The node is starting" }
    }
  }
}

/** As `listen`; its messages are in docs/studio.md. */
const chat = {
  get: {
    tags: ["chat"],
    operationId: "chat.socket",
    summary: "Open a chat socket (WebSocket)",
    description:
      "Text messages with JSON. The key may also be `?access_token=` or the subprotocol `bearer.<key>`; without one the socket only reads.",
    security: [{}, { bearer: [] }],
    parameters: [
      { name: "slug", in: "path", required: true, schema: { type: "string" }, description: "The stream" },
      query("after_id", "The last id that the client knows: what came later is sent first"),
      query("uid", "Another user, with a service key")
    ],
    responses: {
      101: {
        description:
          "The socket is open. It is closed with 1013 at a limit, with 4003 for a banned user, with 1001 when the node stops"
      },
      401: { description: "The key is not valid" },
      403: { description: "The page's origin is not allowed" },
      404: { description: "There is no such stream, or it is private" },
      426: { description: "Not a WebSocket upgrade" },
      429: { description: "Too many sockets are opened from the address" }
    }
  }
}

export class Api extends HttpApi.make("spillway")
  .add(ConversationsGroup)
  .add(WaveformGroup)
  .add(TranscriptsGroup)
  .add(ExportGroup)
  .add(CapturesGroup)
  .add(AudioGroup)
  .add(UrlsGroup)
  .add(SignedAudioGroup)
  .add(PrecacheGroup)
  .add(KeysGroup)
  .add(DeletionsGroup)
  .add(PurgesGroup)
  .add(UsersGroup)
  .add(SpeakerSamplesGroup)
  .add(VodsGroup)
  .add(VodGroup)
  .add(EndpointsGroup)
  .add(WebhookDeliveriesGroup)
  .add(ListenersGroup)
  .add(StreamsGroup)
  .add(StreamGroup)
  .add(StreamAudioGroup)
  .add(ChatGroup)
  .add(ModerationGroup)
  .annotateMerge(
    OpenApi.annotations({
      title: "Spillway",
      version: "0.1.0",
      description:
        "Self-hosted backend for live audio: stores every acknowledged second, plays back any moment at once.",
      transform: (document) => ({
        ...document,
        paths: {
          ...(Predicate.isObject(document["paths"]) ? document["paths"] : {}),
          "/v1/trigger/listen": listen,
          "/api/v1/studio/streams/{slug}/chat": chat
        },
        webhooks: eventsSection()
      })
    })
  ) {}
