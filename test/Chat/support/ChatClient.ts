/** Clients of the chat: HTTP requests, and sockets that collect what the server sends. */
import { WebSocket } from "ws"

export interface Target {
  readonly url: string
  readonly key: string
}

export const path = "/api/v1/studio/streams"

interface CallOptions {
  readonly body?: unknown
  /** Instead of the admin's; null sends none. */
  readonly key?: string | null
  readonly headers?: Readonly<Record<string, string>>
}

export const call = async (server: Target, method: string, target: string, options: CallOptions = {}) => {
  const { body, headers, key = server.key } = options
  const response = await fetch(server.url + target, {
    method,
    headers: {
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) })
  })
  const text = await response.text()
  const retryAfter = response.headers.get("retry-after")
  return { status: response.status, retryAfter, body: JSON.parse(text === "" ? "null" : text) }
}

export const keyOf = async (server: Target, uid: string): Promise<string> =>
  (await call(server, "POST", "/v1/keys", { body: { uid } })).body.key

export interface ChatFrame {
  readonly type: string
  readonly id?: number
  readonly [field: string]: unknown
}

export interface ChatSocket {
  readonly socket: WebSocket
  /** HTTP status of the upgrade: 101, or the status of the rejection. */
  readonly status: number
  readonly protocol: string
  readonly frames: ReadonlyArray<ChatFrame>
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>
  /** Waits for the first frame that `holds`; fails if the socket closes before. */
  readonly find: (holds: (frame: ChatFrame) => boolean) => Promise<ChatFrame>
  readonly send: (frame: object | string) => void
}

interface OpenOptions {
  readonly query?: string
  /** In a header; none by default. */
  readonly key?: string
  readonly protocols?: ReadonlyArray<string>
  readonly headers?: Readonly<Record<string, string>>
}

/** Returns when the server has answered the upgrade. */
export const openChat = (
  server: Pick<Target, "url">,
  slug: string,
  { headers = {}, key, protocols = [], query = "" }: OpenOptions = {}
) =>
  new Promise<ChatSocket>((resolve, reject) => {
    const socket = new WebSocket(`${server.url.replace("http", "ws")}${path}/${slug}/chat${query}`, [...protocols], {
      headers: { ...headers, ...(key === undefined ? {} : { authorization: `Bearer ${key}` }) }
    })
    const frames: Array<ChatFrame> = []
    let check = () => {}
    socket.on("message", (data: Buffer) => {
      frames.push(JSON.parse(data.toString()))
      check()
    })
    const closed = new Promise<{ code: number; reason: string }>((done) =>
      socket.on("close", (code, reason) => done({ code, reason: reason.toString() }))
    )
    let at = 0
    const find = async (holds: (frame: ChatFrame) => boolean) => {
      for (;;) {
        const found = frames.find(holds)
        if (found !== undefined) return found
        at = frames.length
        const more = new Promise<undefined>((done) => {
          check = () => (frames.length > at ? done(undefined) : undefined)
          check()
        })
        const end = await Promise.race([more, closed])
        if (end !== undefined && !frames.some(holds)) throw new Error(`closed with ${end.code}: ${end.reason}`)
      }
    }
    const opened = (status: number) =>
      resolve({
        socket,
        status,
        protocol: socket.protocol,
        frames,
        closed,
        find,
        send: (frame) => socket.send(typeof frame === "string" ? frame : JSON.stringify(frame))
      })
    socket.on("open", () => opened(101))
    socket.on("unexpected-response", (_request, response) => {
      response.resume()
      opened(response.statusCode ?? 0)
    })
    socket.on("error", (error) => (socket.readyState === socket.CONNECTING ? reject(error) : undefined))
  })
