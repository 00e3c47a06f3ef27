/** What is answered to what never became a request: Node's parser gives up on it before there is one to route. */
import { STATUS_CODES } from "node:http"
import type { Duplex } from "node:stream"
import { Predicate } from "effect"
import { ProblemDetails } from "effect/http"
import { Problem } from "./Problem.ts"

/** By the parser's error code. */
const known: Readonly<Record<string, Problem>> = {
  ERR_HTTP_REQUEST_TIMEOUT: Problem.ofStatus(408, "The request took too long"),
  HPE_HEADER_OVERFLOW: Problem.ofStatus(431, "The head of the request is too large"),
  HPE_CHUNK_EXTENSIONS_OVERFLOW: Problem.tooLarge("Its chunks have extensions that are larger than the server takes.")
}

const notHttp = Problem.badRequest("It is not HTTP.")

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

/** A response is on its way: more bytes would become part of it. Node keeps it in this property, as its own answer needs it. */
export function isAnswering(socket: Duplex): boolean {
  return (
    Predicate.hasProperty(socket, "_httpMessage") &&
    Predicate.hasProperty(socket._httpMessage, "headersSent") &&
    socket._httpMessage.headersSent === true
  )
}

/** Sends the problem and closes the connection. */
export function refuse(socket: Duplex, problem: Problem): void {
  socket.end(raw(problem))
}

/** For the event `clientError` of Node's server. */
export function answer(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === "ECONNRESET" || !socket.writable || isAnswering(socket)) socket.destroy()
  else refuse(socket, known[error.code ?? ""] ?? notHttp)
}
