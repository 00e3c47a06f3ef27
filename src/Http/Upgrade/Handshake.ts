/** WebSocket handshakes with `ws`: its sockets cost half of Effect's, can be pinged, and tell when what was sent has left. */
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { Effect, Option } from "effect"
import { HttpEffect, type HttpServerRequest, HttpServerResponse } from "effect/http"
import { IncomingMessage } from "node:http"
import { type WebSocket, WebSocketServer } from "ws"
import { PublicUrl } from "../../PublicUrl.ts"
import * as Cors from "../Cors.ts"
import { HttpConfig } from "../HttpConfig.ts"
import { Problem } from "../Problem.ts"
import { Upgrades } from "./Upgrades.ts"

/** A request that offers an upgrade, with the bytes that followed it. */
export interface Offer {
  readonly incoming: IncomingMessage
  readonly head: Buffer
}

/** `sec-websocket-version` lists the supported versions. */
const badHandshake = (reason: string) =>
  new Problem({
    status: 400,
    code: "bad-handshake",
    title: "The WebSocket handshake is not valid",
    detail: `${reason}.`,
    headers: { "sec-websocket-version": "13, 8" }
  })

export const notWebSocket = Problem.ofStatus(426, "This path is a WebSocket: connect with ws:// or wss://")

/** Closes rejected upgrades. The connection is detached from the HTTP parser, so it can't be reused. */
const closeWhenRejected = Effect.withFiber((fiber) => {
  HttpEffect.appendPreResponseHandlerUnsafe(fiber.context, (_request, response) =>
    Effect.succeed(HttpServerResponse.setHeader(response, "connection", "close"))
  )
  return Effect.void
})

/** Completes when the socket is closed. */
export function awaitClose(socket: WebSocket): Effect.Effect<void> {
  return Effect.callback<void>((resume) => {
    if (socket.readyState === socket.CLOSED) return resume(Effect.void)
    const onClose = () => resume(Effect.void)
    socket.once("close", onClose)
    return Effect.sync(() => socket.off("close", onClose))
  })
}

/**
 * Fails with 403 for a page that is neither this server's nor of an origin in `SPILLWAY_CORS_ORIGINS`: browsers apply no CORS to
 * WebSockets, and send the origin of the page.
 */
export const originCheck = Effect.gen(function* () {
  const allowed = Cors.originsOf(yield* HttpConfig)
  const { base } = yield* PublicUrl
  return ({ headers: { host, origin } }: HttpServerRequest.HttpServerRequest): Effect.Effect<void, Problem> =>
    Effect.suspend(() => {
      if (origin === undefined || allowed.has(origin)) return Effect.void
      const url = URL.parse(origin)
      const isOwn = url !== null && (url.host === host || url.origin === URL.parse(base())?.origin)
      return isOwn
        ? Effect.void
        : Problem.forbidden(`Pages of ${origin} can't open this socket: add it to SPILLWAY_CORS_ORIGINS.`)
    })
})

/** Accepts upgrades on `path`. A message of more than `maxPayload` bytes closes its socket (1009). */
export const make = Effect.fnUntraced(function* (
  path: string,
  options: { readonly maxPayload: number; readonly autoPong: boolean }
) {
  const upgrades = yield* Upgrades
  yield* upgrades.add(path)
  const server = new WebSocketServer({
    ...options,
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    // Never selects `bearer.`, which would echo the key.
    handleProtocols: (offered) => [...offered].find((protocol) => !protocol.startsWith("bearer.")) ?? false
  })

  return {
    /** None if the request offers no upgrade. */
    offerOf: Effect.fnUntraced(function* (request: HttpServerRequest.HttpServerRequest) {
      const incoming = NodeHttpServerRequest.toIncomingMessage(request)
      const head = incoming instanceof IncomingMessage ? upgrades.head(incoming) : undefined
      if (!(incoming instanceof IncomingMessage) || head === undefined) return Option.none<Offer>()
      yield* closeWhenRejected
      return Option.some<Offer>({ incoming, head })
    }),
    /** The socket is paused: what arrives before there is a listener would be lost. */
    accept: ({ head, incoming }: Offer) =>
      Effect.callback<WebSocket, Problem>((resume) => {
        if (incoming.socket.destroyed) return resume(Effect.interrupt)
        const onClose = () => resume(Effect.interrupt)
        incoming.socket.once("close", onClose)
        const reject = (error: Error) => resume(Effect.fail(badHandshake(error.message)))
        // Emitted before `handleUpgrade` returns or never.
        server.once("wsClientError", reject)
        server.handleUpgrade(incoming, incoming.socket, head, (socket) => {
          incoming.socket.off("close", onClose)
          socket.pause()
          // After a broken frame `ws` closes the socket with the right code.
          socket.on("error", () => {})
          resume(Effect.succeed(socket))
        })
        server.off("wsClientError", reject)
      })
  }
})
