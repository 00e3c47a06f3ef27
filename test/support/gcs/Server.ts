/** A server of Google Cloud Storage's JSON API, in memory unless it has a directory, as strict as Google, with injected faults. */
import { Schema } from "effect"
import * as http from "node:http"
import type { Socket } from "node:net"
import { ApiError, invalid } from "./ApiError.ts"
import { Faults, Rule } from "./Faults.ts"
import type { Fault } from "./Faults.ts"
import type { Reply } from "./Media.ts"
import { Objects } from "./Objects.ts"
import * as Routes from "./Routes.ts"
import type { Account } from "./Signature.ts"
import { Uploads } from "./Uploads.ts"
import type { Received } from "./Uploads.ts"

/** A received request. */
export interface Seen {
  readonly operation: string
  readonly method: string
  readonly target: string
  readonly headers: Readonly<Record<string, string | undefined>>
  /** Unix milliseconds. */
  readonly at: number
}

export interface Options {
  readonly port?: number
  readonly buckets?: ReadonlyArray<string>
  /** Account whose tokens and signatures are accepted. Without it everything but signed requests is allowed. */
  readonly account?: Account
  /** Further accepted tokens, of other accounts. */
  readonly tokens?: ReadonlyArray<string>
  /** False: requests without a token are allowed. */
  readonly needsToken?: boolean
  /** Limit of writes to one name; 1 by default. */
  readonly writesPerSecond?: number
  /** Where objects survive the end of this process. */
  readonly directory?: string
  /** Permissions of the account; all by default. */
  readonly permissions?: ReadonlyArray<string>
}

export const allPermissions: ReadonlyArray<string> = [
  "storage.buckets.get",
  "storage.objects.create",
  "storage.objects.delete",
  "storage.objects.get",
  "storage.objects.list",
  "storage.objects.update"
]

/** Most recorded requests; the oldest are dropped. */
const remembered = 100_000

const flat = (headers: http.IncomingHttpHeaders): Readonly<Record<string, string | undefined>> =>
  Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(", ") : value])
  )

/** Stops early at a fault of the upload; `isWhole` is then false. */
const receive = (request: http.IncomingMessage, fault: Fault | undefined): Promise<Received | "stalled"> =>
  new Promise((resolve) => {
    const parts: Array<Buffer> = []
    let size = 0
    const limit =
      fault?.kind === "resetUpload" || fault?.kind === "stallUpload" ? fault.after : Number.POSITIVE_INFINITY
    const done = (isWhole: boolean) => resolve({ bytes: Buffer.concat(parts), isWhole })
    if (limit === 0) return fault?.kind === "stallUpload" ? resolve("stalled") : done(false)
    request.on("data", (part: Buffer) => {
      parts.push(part)
      size += part.length
      if (size < limit) return
      request.pause()
      if (fault?.kind === "stallUpload") return resolve("stalled")
      done(false)
    })
    request.once("end", () => done(true))
    request.once("close", () => done(false))
  })

const turned = (body: Reply["body"]): Buffer => {
  const bytes = Buffer.from(body)
  const at = bytes.length >> 1
  if (bytes.length > 0) bytes[at] = (bytes[at] ?? 0) ^ 1
  return bytes
}

const reset = (socket: Socket) => {
  socket.resetAndDestroy()
}

const writeSlowly = (response: http.ServerResponse, body: Buffer, piece: number) => {
  let at = 0
  const timer = setInterval(() => {
    response.write(body.subarray(at, (at += piece)))
    if (at < body.length) return
    clearInterval(timer)
    response.end()
  }, 10)
  response.once("close", () => clearInterval(timer))
}

const send = (response: http.ServerResponse, reply: Reply, fault: Fault | undefined, isHead: boolean) => {
  const body = fault?.kind === "corruptDownload" ? turned(reply.body) : Buffer.from(reply.body)
  const length = fault?.kind === "shorten" ? {} : { "content-length": String(body.length) }
  response.writeHead(reply.status, { ...reply.headers, ...(reply.status === 204 ? {} : length) })
  if (isHead) return response.end()
  switch (fault?.kind) {
    case "resetDownload":
      return response.write(body.subarray(0, fault.after), () => {
        // Otherwise the reset can overtake the bytes just written.
        setTimeout(() => response.socket?.resetAndDestroy(), 20)
      })
    case "stallDownload":
      return response.write(body.subarray(0, fault.after))
    case "shorten":
      return response.end(body.subarray(0, fault.after))
    case "slow":
      return writeSlowly(response, body, fault.piece)
    default:
      return response.end(body)
  }
}

export class GcsServer {
  readonly faults = new Faults()
  readonly objects: Objects
  /** Oldest first. */
  readonly seen: Array<Seen> = []
  readonly sockets = new Set<Socket>()
  #store: Routes.Store
  readonly #server: http.Server

  private constructor(options: Options) {
    this.objects = new Objects(options.writesPerSecond ?? 1, options.directory)
    for (const bucket of options.buckets ?? []) this.objects.createBucket(bucket)
    this.#store = {
      objects: this.objects,
      uploads: new Uploads(this.objects),
      account: options.account,
      tokens: new Set(options.tokens),
      needsToken: options.needsToken ?? true,
      permissions: new Set(options.permissions ?? allPermissions)
    }
    this.#server = http.createServer((request, response) => {
      void this.#handle(request, response)
    })
    this.#server.on("connection", (socket) => {
      this.sockets.add(socket)
      socket.once("close", () => this.sockets.delete(socket))
    })
  }

  static async start(options: Options = {}): Promise<GcsServer> {
    const server = new GcsServer(options)
    await new Promise<void>((resolve, reject) => {
      server.#server.once("error", reject)
      server.#server.listen(options.port ?? 0, "127.0.0.1", resolve)
    })
    return server
  }

  get url(): string {
    const address = this.#server.address()
    return `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`
  }

  /** Requests of this operation so far. */
  count(operation: string): number {
    return this.seen.filter((each) => each.operation === operation).length
  }

  /** Replaces all accepted tokens by this one. */
  takesOnly(token: string) {
    this.#store = { ...this.#store, tokens: new Set([token]) }
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async #handle(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const target = request.url ?? "/"
    const method = request.method ?? "GET"
    let fault: Fault | undefined
    let reply: Reply
    try {
      const url = new URL(target, this.url)
      if (url.pathname.startsWith("/_"))
        return void this.#command(url.pathname, method, await receive(request, undefined), response)
      const route = Routes.routeOf(method, url)
      fault = this.faults.next(route.operation, decodeURIComponent(target))
      const headers = flat(request.headers)
      if (this.seen.push({ operation: route.operation, method, target, headers, at: Date.now() }) > remembered)
        this.seen.shift()
      const received = await receive(request, fault)
      if (received === "stalled" || fault?.kind === "stall") return
      const body = fault?.kind === "corruptUpload" ? { ...received, bytes: turned(received.bytes) } : received
      if (fault?.kind === "status") throw new ApiError(fault.status, "on command")
      if (!body.isWhole && route.operation !== "chunk") return reset(request.socket)
      reply = Routes.answer(this.#store, route, { method, target, url, headers, body, fault })
      if (!body.isWhole || fault?.kind === "lose") return reset(request.socket)
    } catch (cause) {
      const error = cause instanceof ApiError ? cause : invalid(String(cause))
      const headers = { "content-type": "application/json; charset=UTF-8", ...error.headers }
      reply = { status: error.status, headers, body: error.status === 304 ? "" : error.body }
    }
    send(response, reply, fault, method === "HEAD")
  }

  /** For another process: `POST /_faults` with rules, `DELETE /_faults`. */
  #command(path: string, method: string, received: Received | "stalled", response: http.ServerResponse) {
    const rules = Schema.decodeUnknownExit(Schema.fromJsonString(Schema.Array(Rule)))
    if (path !== "/_faults" || received === "stalled") return response.writeHead(404).end()
    if (method === "DELETE") this.faults.clear()
    if (method === "POST") {
      const decoded = rules(received.bytes.toString())
      if (decoded._tag === "Failure") return response.writeHead(400).end()
      this.faults.add(...decoded.value)
    }
    return response.writeHead(204).end()
  }
}
