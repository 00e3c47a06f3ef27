/** Bounds of the capture sockets. */
import { Context } from "effect"
import * as Settings from "../Settings.ts"

const isPusherUrl = (text: string): boolean => {
  const url = URL.parse(text)
  return url !== null && /^(?:https?|wss?):$/.test(url.protocol) && url.search === "" && url.hash === ""
}

const settings = {
  upstream: Settings.optionalSecret(
    "SPILLWAY_UPSTREAM_PUSHER",
    "an address such as `https://pusher.example.org`, which may contain a user and a password",
    isPusherUrl,
    "omi's own pusher. Set it to put this server in front of that one: transcripts, finishes and speaker samples of captures (102, 104, 105) are also sent there, and its answers (201) are passed back."
  ),
  audioBytes: Settings.constant(
    Settings.bytes(
      "AUDIO_BYTES",
      "10 MiB",
      "Audio in one message; a larger one closes the socket (1009). omi's backend sends its backlog in messages of this size."
    )
  ),
  largeMessageTimeout: Settings.constant(
    Settings.duration(
      "LARGE_MESSAGE_TIMEOUT",
      "60 seconds",
      "Time in which a message of more than 128 KiB arrives and is written; a slower one closes the socket (1013)"
    )
  ),
  framesPerSecond: Settings.constant(
    Settings.integer(
      "FRAMES_PER_SECOND",
      200,
      { min: 1, max: 100_000 },
      "Messages of one capture in a second, on average over ten, pings and pongs included; more close the socket (1008)"
    )
  ),
  conversationsPerMinute: Settings.constant(
    Settings.integer(
      "CONVERSATIONS_PER_MINUTE",
      120,
      { min: 1, max: 100_000 },
      "Conversations that one user selects (103) in a minute, on average over five; one more closes its socket (1008). Each has a row, with audio or without."
    )
  ),
  receiveTimeout: Settings.constant(
    Settings.duration("RECEIVE_TIMEOUT", "300 seconds", "Silence after which a capture socket is closed (1011)")
  ),
  pingInterval: Settings.constant(
    Settings.duration(
      "PING_INTERVAL",
      "30 seconds",
      "Time between two pings of a capture socket. If nothing arrives after two of them, the next one cuts the connection."
    )
  ),
  keyCheckInterval: Settings.constant(
    Settings.duration(
      "KEY_CHECK_INTERVAL",
      "30 seconds",
      "Time between two checks of an open capture's key. A capture whose key was revoked or has expired is closed (1008)."
    )
  ),
  settingsTimeout: Settings.constant(
    Settings.duration(
      "USER_SETTINGS_TIMEOUT",
      "10 seconds",
      "Time for the settings of a capture's user to be read before its socket is read; then the socket is closed (1013)"
    )
  ),
  drainTimeout: Settings.constant(
    Settings.duration(
      "CAPTURE_DRAIN_TIMEOUT",
      "10 seconds",
      "Time for open captures to be written when the server stops"
    )
  ),
  closeTimeout: Settings.constant(
    Settings.duration(
      "CLOSE_TIMEOUT",
      "2 seconds",
      "Time for a client to answer when its capture socket is closed because the server stops; then the connection is cut"
    )
  ),
  capturesPerNode: Settings.integer(
    "SPILLWAY_CAPTURES",
    5_000,
    { min: 1, max: 1_000_000 },
    "Capture sockets of this node; the next one is closed with 1013. Raise it when the node has memory and CPU left, lower it on a small machine."
  ),
  capturesPerUser: Settings.integer(
    "SPILLWAY_CAPTURES_PER_USER",
    5,
    { min: 1, max: 1_000_000 },
    "Capture sockets of one user on this node; the next one is closed with 1013. Raise it for users with more devices."
  ),
  viewers: Settings.integer(
    "SPILLWAY_CAPTURE_VIEWERS",
    100,
    { min: 1, max: 100_000 },
    "Live views (`/v1/captures/events`, `/transcript/events`) of this node; the next one is answered 503. Raise it when more people watch the page."
  ),
  viewersPerUser: Settings.integer(
    "SPILLWAY_CAPTURE_VIEWERS_PER_USER",
    10,
    { min: 1, max: 100_000 },
    "Live views of one user on this node; the next one is answered 429. Raise it where several people watch with one key."
  ),
  capturesShown: Settings.constant(
    Settings.integer(
      "CAPTURES_SHOWN",
      500,
      { min: 1, max: 100_000 },
      "Captures in one response of `/v1/captures`; if there are more, those with the longest queues and lags"
    )
  )
}

export class PusherConfig extends Context.Service<PusherConfig, Settings.Values<typeof settings>>()(
  "spillway/Pusher/PusherConfig"
) {
  static readonly settings = settings
  static readonly layer = Settings.layer(this, settings)
}
