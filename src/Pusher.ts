/** The protocol of the capture socket, for clients. */
export * as Protocol from "./Pusher/Protocol.ts"
export { PusherConfig } from "./Pusher/PusherConfig.ts"
