/** The capture sockets of a node, and what becomes of their messages. */
import { Layer } from "effect"
import { LiveAudio } from "./Pusher/Live/Audio.ts"
import { LiveSinks } from "./Pusher/Live/Sinks.ts"
import { MessageHandlers } from "./Pusher/MessageHandlers.ts"
import { RecentConversations } from "./Pusher/RecentConversations.ts"
import { Relay } from "./Pusher/Relay.ts"
import { Sockets } from "./Pusher/Sockets.ts"
import { StreamCaptures } from "./Pusher/StreamCaptures.ts"
import { ViewerSeats } from "./Pusher/ViewerSeats.ts"
import { ActiveUsers } from "./Users.ts"

export { type AudioPiece, type AudioTap, LiveAudio } from "./Pusher/Live/Audio.ts"
export { LiveSinks } from "./Pusher/Live/Sinks.ts"
export type { LiveTranscript, Segment } from "./Pusher/Live/Transcript.ts"
export { acceptBulkhead, MessageHandlers, type Sender } from "./Pusher/MessageHandlers.ts"
export * as Protocol from "./Pusher/Protocol.ts"
export { type StreamCapture, StreamCaptures } from "./Pusher/StreamCaptures.ts"
export { ViewerSeats } from "./Pusher/ViewerSeats.ts"

export const layer = Layer.mergeAll(
  Sockets.layer,
  RecentConversations.layer,
  Relay.layer,
  ViewerSeats.layer,
  ActiveUsers.layer,
  LiveAudio.layer,
  StreamCaptures.layer,
  LiveSinks.layer.pipe(Layer.provideMerge(MessageHandlers.layer))
)

/** See `Sockets.layerDrain`. */
export const layerDrain = Sockets.layerDrain
