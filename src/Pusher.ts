/** The capture sockets of a node, and the handlers of their messages. */
import { Layer } from "effect"
import { MessageHandlers } from "./Pusher/MessageHandlers.ts"
import { RecentConversations } from "./Pusher/RecentConversations.ts"
import { Relay } from "./Pusher/Relay.ts"
import { Sockets } from "./Pusher/Sockets.ts"

export { MessageHandlers } from "./Pusher/MessageHandlers.ts"

export const layer = Layer.mergeAll(Sockets.layer, MessageHandlers.layer, RecentConversations.layer, Relay.layer)

/** See `Sockets.layerDrain`. */
export const layerDrain = Sockets.layerDrain
