/** The HTTP server of the process, and how it serves routes. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { ByteSize, Duration, Effect, Layer, Predicate, Schema } from "effect"
import { HttpIncomingMessage, HttpMiddleware, HttpRouter, HttpServer } from "effect/http"
import * as Startup from "../Startup.ts"
import * as Cors from "./Cors.ts"
import { HttpConfig } from "./HttpConfig.ts"
import { Listener } from "./Listener.ts"
import { Methods } from "./Methods.ts"
import * as ProblemResponses from "./ProblemResponses.ts"
import { Readiness } from "../Readiness.ts"
import { type Shortcut, Shortcuts } from "./Shortcuts.ts"
import { Upgrades } from "./Upgrade/Upgrades.ts"

const causes: Readonly<Record<string, string>> = {
  EADDRINUSE: "another program uses it. Stop that program, or set SPILLWAY_PORT to another port (0 picks a free one)",
  EACCES: "this user has no permission to open it. Set SPILLWAY_PORT to 1024 or more",
  EADDRNOTAVAIL:
    "this machine has no such address. Set SPILLWAY_HOST to an address of this machine (127.0.0.1, 0.0.0.0)",
  ENOTFOUND: "the host is unknown. Set SPILLWAY_HOST to an address of this machine (127.0.0.1, 0.0.0.0)"
}

/** The server can't listen. `code` is the system's error code, such as `EADDRINUSE`. */
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

/** A slow client is disconnected at most a quarter of `headersTimeout` late. */
const checksPerTimeout = 4

/** `requestTimeout` bounds receiving a request, not sending its response. */
const makeListener = (config: HttpConfig["Service"], steps: Iterable<string>): Listener => {
  const requestTimeout = Duration.toMillis(config.requestTimeout)
  // Node requires headersTimeout to be at most requestTimeout.
  const headersTimeout = Math.min(requestTimeout, Duration.toMillis(config.headersTimeout))
  const listener = new Listener(
    {
      requestTimeout,
      headersTimeout,
      connectionsCheckingInterval: Math.ceil(headersTimeout / checksPerTimeout),
      keepAliveTimeout: Duration.toMillis(config.keepAliveTimeout),
      maxHeaderSize: config.maxHeaders,
      noDelay: true
    },
    steps,
    Cors.originsOf(config)
  )
  listener.maxConnections = config.maxConnections
  listener.timeout = Duration.toMillis(config.stallTimeout)
  return listener
}

/** For requests on connections that were accepted while the server closed, when no routes were served. */
const lastRequests = Duration.seconds(2)

const close = (listener: Listener) =>
  Effect.callback<void>((resume) => {
    listener.close(() => resume(Effect.void))
  })

/** Connections that remain are idle, or exceeded the shutdown timeout. */
const closeAll = (listener: Listener) =>
  Effect.suspend(() => {
    listener.stop()
    return listener.listening ? Effect.timeoutOption(close(listener), lastRequests) : Effect.void
  }).pipe(Effect.andThen(Effect.sync(() => listener.closeAllConnections())))

/** Listens at once. Until routes are served, `/health/live` returns 200 and every other path 503 with `Retry-After`. */
export const layer = Layer.unwrap(
  Effect.gen(function* () {
    const config = yield* HttpConfig
    const { host, port } = config
    const listener = makeListener(config, yield* Startup.steps)
    const listening = Layer.effect(
      HttpServer.HttpServer,
      NodeHttpServer.make(() => listener, { host, port, gracefulShutdownTimeout: config.shutdownTimeout }).pipe(
        Effect.mapError(({ cause }) => new CannotListen({ host, port, code: codeOf(cause) })),
        Effect.tap(() => Effect.addFinalizer(() => closeAll(listener)))
      )
    )
    const upgrades = Layer.succeed(Upgrades, {
      add: (path) => Effect.sync(() => listener.upgradeOn(path)),
      head: (request) => listener.heads.get(request)
    })
    const shortcuts = Layer.succeed(Shortcuts, {
      add: (shortcut: Shortcut) =>
        Effect.acquireRelease(
          Effect.sync(() => listener.shortcuts.add(shortcut)),
          () => Effect.sync(() => listener.shortcuts.delete(shortcut))
        )
    })
    const stop = Layer.effectDiscard(
      Effect.forkScoped(
        Effect.andThen(
          (yield* Readiness).draining,
          Effect.sync(() => listener.stop())
        )
      )
    )
    return Layer.mergeAll(listening, upgrades, shortcuts, stop, NodeHttpServer.layerHttpServices)
  })
)

/** Ids have up to 128 characters, three times that when percent-encoded; a token has two ids in base64url. */
const routerConfig = { maxParamLength: 512, caseSensitive: true }

/** Serves routes, with a problem for every failure. Services that the rest of the program shares are provided outside. */
export function serve<A, E, R>(routes: Layer.Layer<A, E, R>) {
  return HttpRouter.serve(
    Layer.mergeAll(routes, ProblemResponses.layer, Cors.layer).pipe(Layer.provide(Methods.layer)),
    {
      disableLogger: true,
      disableListenLog: true
    }
  ).pipe(Layer.provide(bounds))
}

/** Paths that end in a secret. A span of the request would name it. */
const secretPaths = ["/v1/audio/"]

const bounds = Layer.mergeAll(
  Layer.succeed(HttpRouter.RouterConfig, routerConfig),
  Layer.succeed(HttpMiddleware.TracerDisabledWhen, ({ url }) => secretPaths.some((path) => url.startsWith(path))),
  Layer.effect(
    HttpIncomingMessage.MaxBodySize,
    Effect.map(HttpConfig, (config) => ByteSize.bytes(config.maxBody))
  )
)
