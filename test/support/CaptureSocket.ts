/** A client of the capture socket that collects what the server sends. */
import { WebSocket } from "ws"
import { readAck } from "./Capturer.ts"

export interface CaptureSocket {
  readonly socket: WebSocket
  /** HTTP status of the upgrade: 101, or the status of the rejection. */
  readonly status: number
  readonly messages: ReadonlyArray<Buffer>
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>
  /** Waits until the messages satisfy `holds`; fails if the socket closes before. */
  readonly until: (holds: (messages: ReadonlyArray<Buffer>) => boolean) => Promise<void>
  /** Waits until the server has acknowledged this many bytes of a conversation. */
  readonly acknowledged: (bytes: number) => Promise<void>
}

export interface CaptureSocketOptions {
  readonly query?: string
  /** Instead of the server's key; null sends none. */
  readonly key?: string | null
  readonly protocols?: ReadonlyArray<string>
}

/** Returns when the server has answered the upgrade. */
export const openCaptureSocket = (
  server: { readonly url: string; readonly key: string },
  { key = server.key, protocols = [], query = "" }: CaptureSocketOptions = {}
) =>
  new Promise<CaptureSocket>((resolve, reject) => {
    const socket = new WebSocket(
      `${server.url.replace("http", "ws")}/v1/trigger/listen${query}`,
      [...protocols],
      key === null ? {} : { headers: { authorization: `Bearer ${key}` } }
    )
    const messages: Array<Buffer> = []
    socket.on("message", (data: Buffer) => messages.push(data))
    const closed = new Promise<{ code: number; reason: string }>((done) =>
      socket.on("close", (code, reason) => done({ code, reason: reason.toString() }))
    )
    const until = async (holds: (messages: ReadonlyArray<Buffer>) => boolean) => {
      while (!holds(messages)) {
        const message = new Promise<undefined>((done) => socket.once("message", () => done(undefined)))
        const end = await Promise.race([message, closed])
        if (end !== undefined && !holds(messages)) throw new Error(`closed with ${end.code}: ${end.reason}`)
      }
    }
    const opened = (status: number) =>
      resolve({
        socket,
        status,
        messages,
        closed,
        until,
        acknowledged: (bytes) => until((all) => all.some((message) => (readAck(message)?.bytes ?? 0) >= bytes))
      })
    socket.on("open", () => opened(101))
    socket.on("unexpected-response", (_request, response) => {
      response.resume()
      opened(response.statusCode ?? 0)
    })
    socket.on("error", reject)
  })
