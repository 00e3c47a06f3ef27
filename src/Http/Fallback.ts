/** Responses without a route: to input that is not HTTP, and while no routes are attached (start and stop). */
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http"
import type { Duplex } from "node:stream"
import { Predicate } from "effect"
import { ProblemDetails } from "effect/http"
import { healthPaths, liveBody, readinessBody, stopping } from "../Readiness.ts"
import { Problem } from "./Problem.ts"

/** By the parser's error code. */
const known: Readonly<Record<string, Problem>> = {
  ERR_HTTP_REQUEST_TIMEOUT: Problem.ofStatus(408, "The request took too long"),
  HPE_HEADER_OVERFLOW: Problem.ofStatus(431, "The head of the request is too large"),
  HPE_CHUNK_EXTENSIONS_OVERFLOW: Problem.tooLarge("The chunk extensions are larger than the server accepts.")
}

const notHttp = Problem.badRequest("The input is not valid HTTP.")

const raw = ({ body, status }: Problem): string => {
  const json = JSON.stringify(body)
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`,
    "connection: close",
    `content-type: ${ProblemDetails.contentType}`,
    `content-length: ${Buffer.byteLength(json)}`
  ]
  return `${head.join("\r\n")}\r\n\r\n${json}`
}

/** Whether a response is being sent, so that further bytes would become part of it. Node stores it in this property. */
export function isResponding(socket: Duplex): boolean {
  return (
    Predicate.hasProperty(socket, "_httpMessage") &&
    Predicate.hasProperty(socket._httpMessage, "headersSent") &&
    socket._httpMessage.headersSent === true
  )
}

export function reject(socket: Duplex, problem: Problem): void {
  socket.end(raw(problem))
}

/** Listener of the event `clientError` of Node's server. */
export function respondToError(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === "ECONNRESET" || !socket.writable || isResponding(socket)) socket.destroy()
  else reject(socket, known[error.code ?? ""] ?? notHttp)
}

export type Phase = { readonly name: "starting"; readonly steps: Iterable<string> } | { readonly name: "stopping" }

const problems = {
  starting: Problem.unavailable("starting", "The node is starting", "Try again in a second."),
  stopping: Problem.unavailable("stopping", "The node is stopping", "Try another node, or again in a second.")
}

const failing = (phase: Phase) => {
  if (phase.name === "stopping") return [stopping]
  const steps = [...phase.steps]
  return (steps.length === 0 ? ["The node is starting."] : steps).map((reason) => ({ name: "start", reason }))
}

interface Response {
  readonly status: number
  readonly type: string
  readonly body: unknown
}

const responseTo = ({ method, url }: IncomingMessage, phase: Phase): Response => {
  const path = method === "GET" || method === "HEAD" ? url?.split("?")[0] : undefined
  if (path === healthPaths.live) return { status: 200, type: "application/json", body: liveBody }
  if (path === healthPaths.ready)
    return {
      status: 503,
      type: "application/json",
      body: readinessBody({ failing: failing(phase), degraded: [] })
    }
  return { status: 503, type: ProblemDetails.contentType, body: problems[phase.name].body }
}

/** Ends the response after the request has been read: closing with unread input resets the connection and can lose it. */
export function respond(request: IncomingMessage, response: ServerResponse, phase: Phase): void {
  const { body, status, type } = responseTo(request, phase)
  const json = JSON.stringify(body)
  const isUpgrade = request.headers.upgrade !== undefined
  response.writeHead(status, {
    "content-type": type,
    "content-length": Buffer.byteLength(json),
    "cache-control": "no-store",
    ...(status === 503 ? { "retry-after": "1" } : {}),
    ...(phase.name === "stopping" || isUpgrade ? { connection: "close" } : {})
  })
  response.write(json)
  request.once("end", () => response.end())
  request.resume()
}
