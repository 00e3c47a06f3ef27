/** A server of the capture protocol and of ranges, with injected faults. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { Duplex } from "node:stream"
import { Effect, Predicate } from "effect"
import { type WebSocket, WebSocketServer } from "ws"

export interface Refusal {
  readonly status: number
  readonly problem?: { readonly type?: string; readonly title: string; readonly detail?: string }
  /** Seconds. */
  readonly retryAfter?: number
}

export interface Behaviour {
  /** Audio frames after which connection 1, 2, … breaks; what was not acknowledged is then forgotten. */
  readonly breakAfter?: ReadonlyArray<number>
  /** Breaks with a close frame, which loses no acknowledgement before it; a reset can. */
  readonly orderly?: boolean
  /** Frames that one acknowledgement covers. */
  readonly ackEvery?: number
  /** Sent with the first audio of each connection, as a 204. */
  readonly notice?: { readonly type: string; readonly detail: string; readonly stored?: boolean }
  /** Samples beyond which nothing is acknowledged. */
  readonly ackAtMost?: number
  /** Closes every socket with this code after its first audio. */
  readonly closeWith?: number
  /** Closes connection 1 with this reason after its first audio; 1008 if no code is given. */
  readonly closeOnce?: { readonly code?: number; readonly reason: string }
  /** Answers upgrades 1, 2, … with this status, its reason and `Retry-After`; the last one is repeated. */
  readonly refuse?: ReadonlyArray<Refusal | undefined>
  readonly file?: Uint8Array
  /** Bytes after which response 1, 2, … to a download breaks. */
  readonly cutAfter?: ReadonlyArray<number>
  /** The responses to downloads from request 1, 2, … on. */
  readonly refuseDownload?: ReadonlyArray<Refusal | undefined>
  /** The file that replaces it after the first response. */
  readonly replacedBy?: Uint8Array
}

export interface Seen {
  connections: number
  /** The time of each upgrade request, in milliseconds. */
  readonly upgrades: Array<number>
  readonly starts: Array<{ readonly start: number; readonly samples: number }>
  /** Durable audio by sample number. */
  stored: Buffer
  acknowledged: number
  /** The most unacknowledged samples at any time. */
  mostPending: number
  readonly ranges: Array<string | undefined>
  /** Status of each response to a download. */
  readonly statuses: Array<number>
}

const withJson = (opcode: number, json: unknown) => {
  const head = Buffer.alloc(4)
  head.writeUInt32LE(opcode)
  return Buffer.concat([head, Buffer.from(JSON.stringify(json))])
}

const capture = (socket: WebSocket, rate: number, behaviour: Behaviour, seen: Seen, state: { first?: number }) => {
  const limit = behaviour.breakAfter?.[seen.connections - 1] ?? Infinity
  let conversation = ""
  let frames = 0
  let pending: Array<{ readonly at: number; readonly pcm: Buffer }> = []
  socket.send(withJson(202, { type: "audio_timeline_ack", version: 2 }))
  /** Bytes of the conversation that this connection has received, up to the last one that is acknowledged. */
  let received = 0
  let bytes = 0
  const acknowledge = () => {
    for (const { at, pcm } of pending) {
      received += pcm.length
      if (at + pcm.length / 2 > (behaviour.ackAtMost ?? Infinity)) continue
      bytes = received
      const end = at * 2 + pcm.length
      if (seen.stored.length < end) seen.stored = Buffer.concat([seen.stored, Buffer.alloc(end - seen.stored.length)])
      pcm.copy(seen.stored, at * 2)
      seen.acknowledged = Math.max(seen.acknowledged, at + pcm.length / 2)
    }
    pending = []
    const through = (state.first ?? 0) + seen.acknowledged / rate
    if (bytes > 0) socket.send(withJson(203, { conversation_id: conversation, through, bytes }))
  }
  let unsaid: NodeJS.Immediate | undefined
  socket.on("message", (data) => {
    if (!Buffer.isBuffer(data) || frames >= limit) return
    const opcode = data.readUInt32LE(0)
    if (opcode === 103) conversation = data.toString("utf8", 4)
    if (opcode !== 101) return
    if (conversation === "") return socket.close(1008, "no conversation")
    if (behaviour.closeWith !== undefined) return socket.close(behaviour.closeWith, "as told")
    const { closeOnce } = behaviour
    if (closeOnce !== undefined && seen.connections === 1) return socket.close(closeOnce.code ?? 1008, closeOnce.reason)
    if (frames === 0 && behaviour.notice !== undefined) socket.send(withJson(204, behaviour.notice))
    const start = data.readDoubleLE(4)
    const pcm = Buffer.from(data.subarray(12))
    state.first ??= start
    seen.starts.push({ start, samples: pcm.length / 2 })
    const at = Math.round((start - state.first) * rate)
    pending.push({ at, pcm })
    seen.mostPending = Math.max(seen.mostPending, at + pcm.length / 2 - seen.acknowledged)
    if (++frames >= limit) return behaviour.orderly === true ? socket.close(1011) : socket.terminate()
    if (frames % (behaviour.ackEvery ?? 1) === 0) return acknowledge()
    clearImmediate(unsaid)
    unsaid = setImmediate(() => socket.readyState === socket.OPEN && acknowledge())
  })
}

const download = (request: IncomingMessage, response: ServerResponse, behaviour: Behaviour, seen: Seen) => {
  const { cutAfter = [], refuseDownload = [], replacedBy } = behaviour
  const refused = refuseDownload[Math.min(seen.ranges.length, refuseDownload.length - 1)]
  if (refused !== undefined) {
    seen.ranges.push(request.headers.range)
    seen.statuses.push(refused.status)
    return refuse(request.socket, refused)
  }
  const replaced = replacedBy !== undefined && seen.ranges.length > 0
  const file = replaced ? replacedBy : (behaviour.file ?? new Uint8Array())
  const etag = replaced ? `"new"` : `"old"`
  const cut = cutAfter[seen.ranges.length]
  seen.ranges.push(request.headers.range)
  const from =
    request.headers["if-range"] === etag ? Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1]) : NaN
  const start = Number.isNaN(from) ? 0 : from
  seen.statuses.push(Number.isNaN(from) ? 200 : 206)
  response.writeHead(Number.isNaN(from) ? 200 : 206, {
    etag,
    "content-length": file.length - start,
    ...(Number.isNaN(from) ? {} : { "content-range": `bytes ${start}-${file.length - 1}/${file.length}` })
  })
  if (cut === undefined) return response.end(file.subarray(start))
  response.write(file.subarray(start, start + cut), () => response.destroy())
}

const refuse = (socket: Duplex, { problem, retryAfter, status }: Refusal) => {
  const body = problem === undefined ? "" : JSON.stringify(problem)
  const head = [`HTTP/1.1 ${status} No`, "Content-Type: application/problem+json", `Content-Length: ${body.length}`]
  if (retryAfter !== undefined) head.push(`Retry-After: ${retryAfter}`)
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`)
}

const isKnown = ({ headers }: IncomingMessage) => headers.authorization === "Bearer k"

const again = (
  request: IncomingMessage,
  response: ServerResponse,
  { refuse: refusals = [] }: Behaviour,
  seen: Seen
) => {
  const refusal = refusals[Math.min(seen.upgrades.length, refusals.length) - 1]
  if (refusal === undefined) return response.writeHead(isKnown(request) ? 426 : 401).end()
  return refuse(request.socket, refusal)
}

/** Lives as long as the scope. */
export const fakeServer = (behaviour: Behaviour) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly url: string; readonly seen: Seen; readonly close: () => void }>((resume) => {
      const seen: Seen = {
        connections: 0,
        upgrades: [],
        starts: [],
        stored: Buffer.alloc(0),
        acknowledged: 0,
        mostPending: 0,
        ranges: [],
        statuses: []
      }
      const state: { first?: number } = {}
      const sockets = new WebSocketServer({ noServer: true })
      const server = createServer((request, response) => {
        // An upgrade that was refused, asked again without the upgrade.
        if (request.url?.startsWith("/v1/trigger/listen")) return again(request, response, behaviour, seen)
        if (request.url?.startsWith("/v1/sync/audio/c/")) return download(request, response, behaviour, seen)
        response.writeHead(404, { "content-type": "application/problem+json" }).end(`{"title":"There is nothing here"}`)
      })
      server.on("upgrade", (request, socket, head) => {
        const refusal = behaviour.refuse?.[Math.min(seen.upgrades.length, behaviour.refuse.length - 1)]
        seen.upgrades.push(performance.now())
        if (refusal !== undefined) return refuse(socket, refusal)
        const query = new URL(request.url ?? "", "ws://x").searchParams
        if (!isKnown(request) || query.get("audio_timeline") !== "2" || query.get("ack") !== "1") {
          return socket.end("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")
        }
        seen.connections++
        sockets.handleUpgrade(request, socket, head, (ws) =>
          capture(ws, Number(query.get("sample_rate")), behaviour, seen, state)
        )
      })
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        const port = Predicate.isObject(address) && "port" in address ? Number(address.port) : 0
        const close = () => {
          for (const socket of sockets.clients) socket.terminate()
          server.closeAllConnections()
          server.close()
        }
        resume(Effect.succeed({ url: `http://127.0.0.1:${port}`, seen, close }))
      })
    }),
    ({ close }) => Effect.sync(close)
  )
