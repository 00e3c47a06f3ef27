/** Where the command line finds its server, and the bounds of what it sends. */
import { Context, Option, Result } from "effect"
import * as Settings from "../Settings.ts"

const settings = {
  url: {
    env: "SPILLWAY_URL",
    doc: "Server that the commands talk to. Set it when the server runs on another machine; the default is the one at SPILLWAY_HOST and SPILLWAY_PORT.",
    expected: "a URL such as `https://audio.example.org`",
    defaultText: undefined,
    secret: false,
    parse: (raw: string | undefined) =>
      raw === undefined || /^https?:\/\//.test(raw)
        ? Result.succeed(Option.fromNullishOr(raw))
        : Result.fail(JSON.stringify(raw))
  },
  key: Settings.optionalSecret(
    "SPILLWAY_KEY",
    "a key that is not empty",
    (raw) => raw.length > 0,
    "Key that the commands send. Set it on machines without the server's data directory; the default is SPILLWAY_ADMIN_KEY, then `<data dir>/admin-key`."
  ),
  maxUnacknowledged: Settings.constant(
    Settings.duration(
      "CLI_MAX_UNACKNOWLEDGED",
      "300 seconds",
      "`stream`: audio that may be on its way without an acknowledgement; then it waits."
    )
  ),
  maxBuffered: Settings.constant(
    Settings.bytes("CLI_MAX_BUFFERED", "1 MiB", "`stream`: bytes that may wait in the socket; then it waits.")
  ),
  framesPerSecond: Settings.constant(
    Settings.integer(
      "CLI_FRAMES_PER_SECOND",
      150,
      { min: 1, max: 10_000 },
      "`stream --fast`: most messages sent per second; a server closes a socket that sends more than 200."
    )
  ),
  fastFrame: Settings.constant(
    Settings.duration(
      "CLI_FAST_FRAME",
      "1 second",
      "`stream --fast`: audio in one message; a server accepts up to 10 MiB."
    )
  ),
  patience: Settings.duration(
    "SPILLWAY_CLI_PATIENCE",
    "30 seconds",
    "Time that a command waits for a connection, an acknowledgement or data; then it reconnects. Raise it on slow networks."
  ),
  tries: Settings.integer(
    "SPILLWAY_CLI_TRIES",
    20,
    { min: 0, max: 1_000_000 },
    "Reconnections in a row without progress; then the command fails. Raise it for commands that run unattended through long outages; set 0 in scripts that retry by themselves."
  ),
  backoff: Settings.constant(
    Settings.duration("CLI_BACKOFF", "250 millis", "Pause before the first reconnection; doubles each time.")
  ),
  maxBackoff: Settings.constant(
    Settings.duration("CLI_MAX_BACKOFF", "10 seconds", "Longest pause before a reconnection.")
  ),
  maxRetryAfter: Settings.constant(
    Settings.duration(
      "CLI_MAX_RETRY_AFTER",
      "1 minute",
      "Longest pause that a server may ask for (`Retry-After`); when it asks for more, the command fails."
    )
  )
}

export class CliConfig extends Context.Service<CliConfig, Settings.Values<typeof settings>>()(
  "spillway/Cli/CliConfig"
) {
  static readonly settings = settings
  static readonly layer = Settings.layer(this, settings)
}
