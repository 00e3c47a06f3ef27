/** Node's HTTP server as this node uses it: it answers from its first moment to its last, and upgrades only where a route does. */
import { IncomingMessage, Server, ServerResponse, type ServerOptions } from "node:http"
import { Socket } from "node:net"
import { Problem } from "./Problem.ts"
import * as Unparsed from "./Unparsed.ts"
import * as Unrouted from "./Unrouted.ts"

/** How long a refused or closed upgrade may keep its connection half open. Node's own timeouts do not cover upgrades. */
const lingerMillis = 5_000

/** How long a server that closes accepts connections that keep coming; the rest is reset. */
const acceptMillis = 1_000

// edge: a turn of the event loop, for which Effect has no word.
const nextTurn = (then: (accepted: number) => void, accepted: number) => void setImmediate(then, accepted)

const pathOf = ({ url = "" }: IncomingMessage) => url.split("?")[0] ?? ""

const hasBody = ({ headers }: IncomingMessage) =>
  headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0"

export class Listener extends Server {
  readonly upgradePaths = new Set<string>()
  /** The client's bytes behind each handshake. */
  readonly heads = new WeakMap<IncomingMessage, Buffer>()
  readonly #steps: Iterable<string>
  #stopping = false
  #accepted = 0

  constructor(options: ServerOptions, steps: Iterable<string>) {
    // Node before 24.9 hands over every offer. Since then it can keep those that are not taken, but loses a request that is
    // pipelined behind one; with a body it must keep them, as Node 26 reads that from the connection itself.
    super({
      ...options,
      shouldUpgradeCallback: (request) =>
        this.listenerCount("upgrade") > 0 && (this.#upgrades(request) || !hasBody(request))
    })
    this.#steps = steps
    this.on("connection", () => this.#accepted++)
    this.on("clientError", Unparsed.answer)
    this.on("connect", (_request, socket) => {
      Unparsed.refuse(socket, Problem.ofStatus(501, "The server is no proxy"))
    })
  }

  /** Each response closes its connection from now on. */
  stop() {
    this.#stopping = true
  }

  /**
   * Accepts first what the system has connected already: closing resets those. libuv accepts one connection in a turn of
   * the event loop, so the queue is empty when a turn brings none.
   */
  override close(callback?: (error?: Error) => void): this {
    if (!this.listening) return super.close(callback)
    const deadline = performance.now() + acceptMillis
    const closeOrAccept = (before: number) => {
      if (this.#accepted === before || performance.now() > deadline) super.close(callback)
      else nextTurn(closeOrAccept, this.#accepted)
    }
    // The first may end the turn in which this is called.
    nextTurn(closeOrAccept, Number.NaN)
    return this
  }

  /** Node has no other place that sees a request before all listeners, which Effect attaches and detaches. */
  override emit(event: string, ...args: Array<unknown>): boolean {
    const [request, target, head] = args
    if (!(request instanceof IncomingMessage)) return super.emit(event, ...args)
    if (event === "upgrade" && target instanceof Socket && Buffer.isBuffer(head)) {
      if (!this.#upgrades(request)) return this.#withoutOffer(request, target, head)
      this.heads.set(request, head)
      target.once("finish", () => target.setTimeout(lingerMillis, () => target.destroy()))
    }
    if (!(target instanceof ServerResponse)) return super.emit(event, ...args)
    if (event === "request" && this.listenerCount(event) === 0) {
      Unrouted.answer(request, target, this.#stopping ? { name: "stopping" } : { name: "starting", steps: this.#steps })
      return true
    }
    if (this.#stopping) target.setHeader("connection", "close")
    return super.emit(event, ...args)
  }

  #upgrades(request: IncomingMessage): boolean {
    return request.headers.upgrade?.toLowerCase() === "websocket" && this.upgradePaths.has(pathOf(request))
  }

  /**
   * With the event `upgrade` Node takes its parser, and with it the flow control of the response, off the connection. The
   * same request without the offer goes through a new parser, as an ordinary one.
   */
  #withoutOffer(request: IncomingMessage, socket: Socket, head: Buffer): boolean {
    // The response to an earlier, pipelined request would be followed by none.
    if (Unparsed.isAnswering(socket)) {
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
