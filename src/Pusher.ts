/** The capture socket, as its clients see it. */
export * as Protocol from "./Pusher/Protocol.ts"
export { PusherConfig } from "./Pusher/PusherConfig.ts"
