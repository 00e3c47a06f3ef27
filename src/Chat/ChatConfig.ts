/** Bounds of the chat. */
import { Context } from "effect"
import * as Settings from "../Settings.ts"

const settings = {
  socketsPerStream: Settings.constant(
    Settings.integer(
      "CHAT_SOCKETS_PER_STREAM",
      100,
      { min: 1, max: 100_000 },
      "Chat sockets of one stream on this node; the next one is closed with 1013"
    )
  ),
  socketsPerUser: Settings.constant(
    Settings.integer(
      "CHAT_SOCKETS_PER_USER",
      3,
      { min: 1, max: 1_000 },
      "Chat sockets of one user in one stream on this node; the next one is closed with 1013"
    )
  ),
  socketsPerAddress: Settings.constant(
    Settings.integer(
      "CHAT_SOCKETS_PER_ADDRESS",
      20,
      { min: 1, max: 100_000 },
      "Chat sockets without a key of one address on this node; the next one is closed with 1013"
    )
  ),
  socketsPerNode: Settings.constant(
    Settings.integer(
      "CHAT_SOCKETS_PER_NODE",
      5_000,
      { min: 1, max: 1_000_000 },
      "Chat sockets of this node; the next one is closed with 1013"
    )
  ),
  attemptsPerMinute: Settings.constant(
    Settings.integer(
      "CHAT_ATTEMPTS_PER_MINUTE",
      240,
      { min: 1, max: 100_000 },
      "Messages of one address in a minute, accepted or not, and sockets that it opens; more are rejected"
    )
  ),
  framesPerSecond: Settings.constant(
    Settings.integer(
      "CHAT_FRAMES_PER_SECOND",
      10,
      { min: 1, max: 100_000 },
      "Frames of one chat socket in a second, on average over a minute; more close it (1008)"
    )
  ),
  queue: Settings.constant(
    Settings.integer(
      "CHAT_QUEUE",
      20,
      { min: 1, max: 10_000 },
      "Batches of changes that wait for a reader; when one more slides the oldest out, the socket is closed (4029)"
    )
  ),
  pingInterval: Settings.constant(
    Settings.duration(
      "CHAT_PING_INTERVAL",
      "30 seconds",
      "Time between two pings of a chat socket, at which its key is checked, too. Without an answer to the last one it is cut."
    )
  ),
  closeTimeout: Settings.constant(
    Settings.duration(
      "CHAT_CLOSE_TIMEOUT",
      "5 seconds",
      "Time for a client to answer when its chat socket is closed; then the connection is cut"
    )
  ),
  pollInterval: Settings.constant(
    Settings.duration(
      "CHAT_POLL_INTERVAL",
      "1 second",
      "Time between two polls of open rooms for changes while the database sends no notifications"
    )
  )
}

export class ChatConfig extends Context.Service<ChatConfig, Settings.Values<typeof settings>>()(
  "spillway/Chat/ChatConfig"
) {
  static readonly settings = settings
  static readonly layer = Settings.layer(this, settings)
}
