/** Node's HTTP server, with responses before routes are attached and after the stop, and upgrades only on paths that declare them. */
import { IncomingMessage, Server, ServerResponse, type ServerOptions } from "node:http"
import { Socket } from "node:net"
import * as Cors from "./Cors.ts"
import { Problem } from "./Problem.ts"
import * as Fallback from "./Fallback.ts"
import type { Shortcut } from "./Shortcuts.ts"

/** How long a rejected or closed upgrade keeps its connection half open. Node's timeouts do not cover upgrades. */
const lingerMillis = 5_000

/** How long a closing server accepts connections from the backlog; the rest is reset. */
const acceptMillis = 1_000

// edge: Effect has no equivalent of one turn of the event loop.
const nextTurn = (then: (accepted: number) => void, accepted: number) => void setImmediate(then, accepted)

const pathOf = ({ url = "" }: IncomingMessage) => url.split("?")[0] ?? ""

/** Node before 24 emits no `close` on responses that wait behind another one when their connection closes. */
const closeWithConnection = (response: ServerResponse) => {
  const { socket } = response.req
  const onClose = () => {
    if (response.socket !== null || response.destroyed) return
    response.destroy()
    response.emit("close")
  }
  socket.once("close", onClose)
  response.once("close", () => socket.off("close", onClose))
}

const hasBody = ({ headers }: IncomingMessage) =>
  headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0"

/**
 * Sends the response at once, and ends it when the request has been read: closing with unread input resets the connection,
 * and the client can lose the response. Node's request timeout and the server's stop bound the wait.
 */
const endAfterRequest = (request: IncomingMessage, response: ServerResponse) => {
  const end = response.end.bind(response)
  const endNow = () => void end()
  response.end = (chunk?: unknown, encoding?: unknown, callback?: unknown) => {
    const done = [chunk, encoding, callback].find((each) => typeof each === "function")
    if (typeof done === "function") response.once("finish", () => done())
    if (typeof chunk === "string" || chunk instanceof Uint8Array) response.write(chunk)
    if (request.readableEnded || request.destroyed) return end()
    request.once("end", endNow).once("close", endNow)
    request.resume()
    return response
  }
}

export class Listener extends Server {
  readonly #upgradePaths: Array<RegExp> = []
  /** Tried before the listeners of `request`. */
  readonly shortcuts = new Set<Shortcut>()
  /** Bytes that the client sent after its handshake. */
  readonly heads = new WeakMap<IncomingMessage, Buffer>()
  readonly #steps: Iterable<string>
  readonly #origins: ReadonlySet<string>
  #stopping = false
  #accepted = 0

  constructor(options: ServerOptions, steps: Iterable<string>, origins: ReadonlySet<string> = new Set()) {
    // Node before 24.9 ignores this option. Later versions lose a request that is pipelined behind an offer they keep, so
    // only offers with a body are kept: Node 26 would read that body from the raw connection.
    super({
      ...options,
      shouldUpgradeCallback: (request) =>
        this.listenerCount("upgrade") > 0 && (this.#upgrades(request) || !hasBody(request))
    })
    this.#steps = steps
    this.#origins = origins
    this.on("connection", (socket) => {
      this.#accepted++
      // One for each pipelined request.
      socket.setMaxListeners(0)
    })
    this.on("clientError", Fallback.respondToError)
    this.on("connect", (_request, socket) => {
      Fallback.reject(socket, Problem.ofStatus(501, "The server is not a proxy"))
    })
  }

  /** `:name` in the path is one segment. */
  upgradeOn(path: string) {
    const segments = path
      .split("/")
      .map((segment) => (segment.startsWith(":") ? "[^/]+" : segment.replaceAll(/[^\w-]/g, "\\$&")))
    this.#upgradePaths.push(new RegExp(`^${segments.join("/")}$`))
  }

  /** Every later response closes its connection. */
  stop() {
    this.#stopping = true
  }

  /** Accepts the backlog first, because closing resets it. libuv accepts one connection per turn; a turn without one ends it. */
  override close(callback?: (error?: Error) => void): this {
    if (!this.listening) return super.close(callback)
    const deadline = performance.now() + acceptMillis
    const closeOrAccept = (before: number) => {
      if (this.#accepted === before || performance.now() > deadline) super.close(callback)
      else nextTurn(closeOrAccept, this.#accepted)
    }
    // Two turns: the current one may be almost over.
    nextTurn(closeOrAccept, Number.NaN)
    return this
  }

  /** The only place that sees a request before the listeners, which Effect attaches and detaches. */
  override emit(event: string, ...args: Array<unknown>): boolean {
    const [request, target, head] = args
    if (!(request instanceof IncomingMessage)) return super.emit(event, ...args)
    if (event === "upgrade" && target instanceof Socket && Buffer.isBuffer(head)) {
      if (!this.#upgrades(request)) return this.#withoutOffer(request, target, head)
      this.heads.set(request, head)
      target.once("finish", () => target.setTimeout(lingerMillis, () => target.destroy()))
    }
    if (!(target instanceof ServerResponse)) return super.emit(event, ...args)
    Cors.share(this.#origins, request, target)
    if (event === "request" && this.listenerCount(event) === 0) {
      this.#respond(request, target)
      return true
    }
    closeWithConnection(target)
    if (this.#stopping) {
      target.setHeader("connection", "close")
      if (hasBody(request)) endAfterRequest(request, target)
    }
    if (event === "request" && this.#tryShortcuts(request, target)) return true
    return super.emit(event, ...args)
  }

  #respond(request: IncomingMessage, response: ServerResponse) {
    Fallback.respond(
      request,
      response,
      this.#stopping ? { name: "stopping" } : { name: "starting", steps: this.#steps }
    )
  }

  /** True if a shortcut answers. */
  #tryShortcuts(request: IncomingMessage, response: ServerResponse): boolean {
    if (request.method !== "GET" || hasBody(request)) return false
    const decline = () => {
      if (!super.emit("request", request, response)) this.#respond(request, response)
    }
    for (const shortcut of this.shortcuts) if (shortcut(request, response, decline)) return true
    return false
  }

  #upgrades(request: IncomingMessage): boolean {
    return (
      request.headers.upgrade?.toLowerCase() === "websocket" &&
      this.#upgradePaths.some((path) => path.test(pathOf(request)))
    )
  }

  /** Emitting `upgrade` detaches Node's parser and flow control, so the request without the offer is parsed again. */
  #withoutOffer(request: IncomingMessage, socket: Socket, head: Buffer): boolean {
    // An earlier, pipelined request is being answered; this one can't be queued behind it.
    if (Fallback.isResponding(socket)) {
      socket.destroy()
      return true
    }
    const lines = [`${request.method} ${request.url} HTTP/${request.httpVersion}`]
    for (let at = 0; at < request.rawHeaders.length; at += 2) {
      const name = request.rawHeaders[at] ?? ""
      if (name.toLowerCase() !== "upgrade") lines.push(`${name}: ${request.rawHeaders[at + 1] ?? ""}`)
    }
    socket.unshift(Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1"), head]))
    return this.emit("connection", socket)
  }
}
