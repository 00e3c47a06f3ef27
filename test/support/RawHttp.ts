/** HTTP as bytes on a socket, for requests and responses that client libraries hide. */
import { connect } from "node:net"

export interface Exchanged {
  /** The TCP connection was established. */
  readonly connected: boolean
  readonly status: number | undefined
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
  /** The response has all the bytes that its header announces. */
  readonly isWhole: boolean
  readonly error: string | undefined
}

const parse = (text: Buffer) => {
  const received = text.subarray(text.indexOf("HTTP/1.1 100 ") === 0 ? text.indexOf("\r\n\r\n") + 4 : 0)
  const end = received.indexOf("\r\n\r\n")
  if (end === -1) return { status: undefined, headers: {}, body: Buffer.alloc(0), isWhole: false }
  const [first = "", ...lines] = received.toString("latin1", 0, end).split("\r\n")
  const headers: Record<string, string> = {}
  for (const line of lines) headers[line.slice(0, line.indexOf(":")).toLowerCase()] = line.replace(/^[^:]*: ?/, "")
  const body = received.subarray(end + 4)
  const status = Number(first.split(" ")[1])
  const length = headers["content-length"]
  return { status, headers, body, isWhole: status === 101 || (length !== undefined && body.length >= Number(length)) }
}

/**
 * Sends `request` with `\n` as CRLF. Returns when the response is complete, or when the server closes if the response
 * says so.
 */
export const exchange = (port: number, request: string, rest: Uint8Array = new Uint8Array(0)): Promise<Exchanged> =>
  new Promise((resolve) => {
    const parts: Array<Buffer> = []
    let connected = false
    let error: string | undefined
    /** Bytes of the response, known once its head is received. */
    let expected: number | undefined
    let count = 0
    const untilClosed = /^connection: close$/im.test(request)
    const socket = connect(port, "127.0.0.1", () => {
      connected = true
      socket.write(Buffer.concat([Buffer.from(request.replaceAll("\n", "\r\n"), "latin1"), rest]))
    })
    socket.on("data", (part) => {
      parts.push(part)
      count += part.length
      if (expected === undefined) {
        const received = Buffer.concat(parts)
        const { body, headers, status } = parse(received)
        if (status === undefined) return
        const closes = untilClosed || headers["connection"] === "close"
        expected = closes ? Infinity : received.length - body.length + Number(headers["content-length"] ?? 0)
      }
      if (count >= expected) socket.end()
    })
    socket.on("error", (cause) => (error = cause.message))
    socket.on("close", () => {
      const received = Buffer.concat(parts)
      resolve({ connected, error, ...parse(received) })
    })
  })
