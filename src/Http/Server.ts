/** The HTTP server of the process, and how routes are served on it. */
import { createServer } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { ByteSize, Duration, Effect, Layer, Predicate, Schema } from "effect"
import { HttpIncomingMessage, HttpRouter } from "effect/http"
import { HttpConfig } from "./HttpConfig.ts"
import { Methods } from "./Methods.ts"
import * as ProblemResponses from "./ProblemResponses.ts"
import * as Unparsed from "./Unparsed.ts"

const causes: Readonly<Record<string, string>> = {
  EADDRINUSE: "another program has it. Stop that one, or set SPILLWAY_PORT to another port (0 takes a free one)",
  EACCES: "this user may not open it. Set SPILLWAY_PORT to 1024 or more",
  EADDRNOTAVAIL: "this machine has no such address. Set SPILLWAY_HOST to one that it has (127.0.0.1, 0.0.0.0)",
  ENOTFOUND: "the host is unknown. Set SPILLWAY_HOST to an address of this machine (127.0.0.1, 0.0.0.0)"
}

/** The server can't listen; `code` is the system's (`EADDRINUSE`). */
export class CannotListen extends Schema.TaggedError<CannotListen>()("CannotListen", {
  host: Schema.String,
  port: Schema.Int,
  code: Schema.String
}) {
  override get message() {
    return `Can't listen on port ${this.port} of ${this.host}: ${causes[this.code] ?? this.code}.`
  }
}

const codeOf = (cause: unknown): string =>
  Predicate.hasProperty(cause, "code") && Predicate.isString(cause.code) ? cause.code : "unknown reason"

/** A client that is too slow is cut at most a quarter of `headersTimeout` late. */
const checksPerTimeout = 4

/** `requestTimeout` is about receiving a request, so that a long download is never cut. */
export const layer = Layer.unwrap(
  Effect.gen(function* () {
    const config = yield* HttpConfig
    const { host, port } = config
    const evaluate = () => {
      const requestTimeout = Duration.toMillis(config.requestTimeout)
      // A head is part of its request: Node insists.
      const headersTimeout = Math.min(requestTimeout, Duration.toMillis(config.headersTimeout))
      const server = createServer({
        requestTimeout,
        headersTimeout,
        connectionsCheckingInterval: Math.ceil(headersTimeout / checksPerTimeout),
        keepAliveTimeout: Duration.toMillis(config.keepAliveTimeout),
        maxHeaderSize: config.maxHeaders,
        noDelay: true
      })
      server.maxConnections = config.maxConnections
      server.timeout = Duration.toMillis(config.stallTimeout)
      server.on("clientError", Unparsed.answer)
      return server
    }
    const listening = NodeHttpServer.layerServer(evaluate, {
      host,
      port,
      gracefulShutdownTimeout: config.shutdownTimeout
    })
    return Layer.effectContext(
      Effect.mapError(Layer.build(listening), ({ cause }) => new CannotListen({ host, port, code: codeOf(cause) }))
    ).pipe(Layer.merge(NodeHttpServer.layerHttpServices))
  })
)

/** Ids have up to 128 characters, three times that when percent-encoded. */
const routerConfig = { maxParamLength: 384, caseSensitive: true }

/** Serves routes with problems for all that fails. What routes share with the rest of the program is provided outside. */
export const serve = <A, E, R>(routes: Layer.Layer<A, E, R>) =>
  HttpRouter.serve(Layer.merge(routes, ProblemResponses.layer).pipe(Layer.provide(Methods.layer)), {
    disableLogger: true,
    disableListenLog: true
  }).pipe(Layer.provide(bounds))

const bounds = Layer.merge(
  Layer.succeed(HttpRouter.RouterConfig, routerConfig),
  Layer.effect(
    HttpIncomingMessage.MaxBodySize,
    Effect.map(HttpConfig, (config) => ByteSize.bytes(config.maxBody))
  )
)
