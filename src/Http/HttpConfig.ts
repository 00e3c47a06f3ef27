/** The HTTP server's settings and bounds. */
import { Context } from "effect"
import * as Settings from "../Settings.ts"

/** As browsers send it: a scheme, a host in lower case, and a port that is not the scheme's own. */
const isOrigin = (text: string): boolean =>
  /^https?:/.test(text)
    ? URL.parse(text)?.origin === text && !text.includes("*")
    : /^[a-z][a-z0-9+.-]*:\/\/[a-z0-9][a-z0-9.-]*(:\d+)?$/.test(text)

const mostOrigins = 100

const settings = {
  host: Settings.text(
    "SPILLWAY_HOST",
    "127.0.0.1",
    "Address to listen on. Set `0.0.0.0` or `::` (every interface of the machine) when clients or a proxy are on other machines."
  ),
  port: Settings.integer(
    "SPILLWAY_PORT",
    8080,
    { min: 0, max: 65_535 },
    "Port to listen on. Change it when another program has it; 0 takes a free one and prints it."
  ),
  publicUrl: Settings.optionalText(
    "SPILLWAY_PUBLIC_URL",
    "an address such as `https://audio.example.org`, with or without a path",
    (text) => /^https?:$/.test(URL.parse(text)?.protocol ?? "") && !/[?#]/.test(text),
    "Where clients reach this node, for the URLs that it signs. Set it behind a proxy or a load balancer; the default is made of SPILLWAY_HOST and SPILLWAY_PORT."
  ),
  corsOrigins: Settings.optionalText(
    "SPILLWAY_CORS_ORIGINS",
    `1 to ${mostOrigins} origins as browsers send them, such as \`https://app.example.org\`, without a path, separated by commas`,
    (text) => text.split(",").length <= mostOrigins && text.split(",").every(isOrigin),
    "Pages of these origins can call the API with a key and play audio (CORS). Set it for a web app that is not served by this server. Without it, responses have no header for other origins, and browsers keep them from scripts."
  ),
  maxConnections: Settings.integer(
    "SPILLWAY_MAX_CONNECTIONS",
    12_000,
    { min: 1, max: 1_000_000 },
    "Open connections, WebSockets included; one more is closed at once. Keep it above twice SPILLWAY_CAPTURES, and raise the limit of open files of the process with it."
  ),
  maxBody: Settings.constant(
    Settings.bytes(
      "MAX_BODY",
      "1 MiB",
      "Largest request body that is read into memory; a larger one is answered with 413."
    )
  ),
  maxHeaders: Settings.constant(
    Settings.bytes(
      "MAX_HEADERS",
      "16 KiB",
      "Largest head of a request (request line and headers); a larger one is answered with 431."
    )
  ),
  headersTimeout: Settings.constant(
    Settings.duration(
      "HEADERS_TIMEOUT",
      "15 seconds",
      "Time for a client to send a request's head; a slower one is answered with 408."
    )
  ),
  requestTimeout: Settings.constant(
    Settings.duration(
      "REQUEST_TIMEOUT",
      "1 minute",
      "Time for a client to send a whole request, body included; a slower one is answered with 408. Responses may take longer."
    )
  ),
  stallTimeout: Settings.constant(
    Settings.duration(
      "STALL_TIMEOUT",
      "5 minutes",
      "Time in which a response sends no byte; then it is cut, and a player that was paused requests the rest. Captures have a timeout of their own."
    )
  ),
  keepAliveTimeout: Settings.duration(
    "SPILLWAY_KEEP_ALIVE_TIMEOUT",
    "65 seconds",
    "Time that an idle connection is kept open. Make it longer than the idle timeout of the load balancer in front, which is commonly 60 seconds."
  ),
  shutdownTimeout: Settings.constant(
    Settings.duration(
      "HTTP_SHUTDOWN_TIMEOUT",
      "5 seconds",
      "Time for running requests to end when the server stops; those that are left are cut."
    )
  )
}

export class HttpConfig extends Context.Service<HttpConfig, Settings.Values<typeof settings>>()(
  "spillway/Http/HttpConfig"
) {
  static readonly settings = settings
  static readonly layer = Settings.layer(this, settings)
}
