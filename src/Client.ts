/**
 * The client of the capture socket, for browsers and Node 18 or newer. It has no dependencies, and is published as
 * `spillway/client`.
 */
export { CaptureClient } from "./Client/CaptureClient.ts"
export type { ClientOptions, End, State, Status, Totals } from "./Client/ClientOptions.ts"
export type { Acknowledgement, Codec, Notice } from "./Client/Messages.ts"
export type { Packet } from "./Client/PacketBuffer.ts"
export type { WebSocketConstructor, WebSocketLike } from "./Client/WebSocketLike.ts"
