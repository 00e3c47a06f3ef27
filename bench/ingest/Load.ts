/**
 * The load: paced captures over raw sockets, with ready-made WebSocket frames, so that it costs less than what it measures.
 * Run as a process of its own: one JSON argument, one line of JSON back.
 */
import { createHash, randomBytes } from "node:crypto"
import { connect, type Socket } from "node:net"

export interface LoadOptions {
  /** Messages of a WebSocket, or of a stream of `@durable-streams/server` as one append each. */
  readonly protocol: "capture" | "appends"
  readonly port: number
  readonly key: string
  readonly captures: number
  readonly sampleRate: number
  readonly frameMillis: number
  /** Captures join one after another within this time. */
  readonly rampSeconds: number
  /** After the ramp. */
  readonly seconds: number
}

export interface LoadResult {
  /** Sockets that were closed, refused or failed before the end. */
  readonly broken: number
  readonly sentBytes: number
  readonly acknowledgedBytes: number
  /** From handing the newest frame that is acknowledged to the socket until then, milliseconds. The oldest waits a second more. */
  readonly ackMillis: { readonly p50: number; readonly p99: number; readonly max: number; readonly count: number }
  /** The most bytes that a socket buffered: above a few frames the server has stopped reading. */
  readonly maxUnsentBytes: number
  /** Frames sent more than 100 ms late: the load itself was late. */
  readonly lateFrames: number
  readonly frames: number
}

interface Client {
  readonly socket: Socket
  readonly start: number
  readonly startedAt: number
  sent: number
  /** When the last frames were handed to the socket, in a ring. */
  readonly sentAt: Float64Array
  acknowledged: number
  received: Buffer
  open: boolean
  readonly frameHead: Buffer
}

const now = () => performance.now()
const empty = Buffer.alloc(0)

/** Frames whose time is recorded: more than a minute. */
const sentTimes = 1024

/** A masked frame with a zero mask, which the server still unmasks. */
const head = (payload: number) => {
  const buffer = Buffer.alloc(8)
  buffer[0] = 0x82
  buffer[1] = 0x80 | 126
  buffer.writeUInt16BE(payload, 2)
  return buffer
}

const conversation = (id: string) => {
  const body = Buffer.alloc(4 + id.length)
  body.writeUInt32LE(103, 0)
  body.write(id, 4, "latin1")
  return Buffer.concat([Buffer.from([0x82, 0x80 | body.length, 0, 0, 0, 0]), body])
}

const contentType = "application/octet-stream"

/** A request of the streams' protocol: `PUT` creates a stream, `POST` appends. Requests of one connection are answered in order. */
const request = (method: "PUT" | "POST", stream: string, length: number) =>
  Buffer.from(
    `${method} /v1/stream/${stream} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: ${contentType}\r\nContent-Length: ${length}\r\n\r\n`
  )

const percentile = (sorted: ReadonlyArray<number>, share: number) =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0

export const load = async (options: LoadOptions): Promise<LoadResult> => {
  const { captures, frameMillis, key, port, protocol, rampSeconds, sampleRate, seconds } = options
  const audio = randomBytes((sampleRate * 2 * frameMillis) / 1000)
  const frameHead = head(12 + audio.length)
  const clients: Array<Client> = []
  const latencies: Array<number> = []
  let broken = 0
  let sentBytes = 0
  let frames = 0
  let lateFrames = 0
  let maxUnsentBytes = 0
  let ending = false
  const run = randomBytes(4).toString("hex")

  const onAck = (client: Client, ack: { readonly bytes: number }) => {
    // It says again what is on the disk, as more of it is stored now.
    if (ack.bytes === client.acknowledged) return
    client.acknowledged = ack.bytes
    // A frame may be written in parts: its acknowledgement is the one that covers its end.
    const frame = Math.ceil(ack.bytes / audio.length)
    latencies.push(now() - (client.sentAt[(frame - 1) % sentTimes] ?? 0))
  }

  /** An append's response has no body. */
  const onResponses = (client: Client, data: Buffer) => {
    client.received = client.received.length === 0 ? data : Buffer.concat([client.received, data])
    for (let end = client.received.indexOf("\r\n\r\n"); end !== -1; end = client.received.indexOf("\r\n\r\n")) {
      if (!client.received.toString("latin1", 0, 12).startsWith("HTTP/1.1 20")) return client.socket.destroy()
      onAck(client, { bytes: client.acknowledged + audio.length })
      client.received = client.received.subarray(end + 4)
    }
  }

  const onData = (client: Client, data: Buffer) => {
    client.received = client.received.length === 0 ? data : Buffer.concat([client.received, data])
    while (client.received.length >= 2) {
      const short = (client.received[1] ?? 0) & 0x7f
      const offset = short === 126 ? 4 : 2
      if (client.received.length < offset) return
      const length = short === 126 ? client.received.readUInt16BE(2) : short
      if (client.received.length < offset + length) return
      const opcode = (client.received[0] ?? 0) & 0x0f
      const payload = client.received.subarray(offset, offset + length)
      if (opcode === 9) client.socket.write(Buffer.from([0x8a, 0x80, 0, 0, 0, 0]))
      else if (opcode === 2 && payload.readUInt32LE(0) === 203) onAck(client, JSON.parse(payload.toString("utf8", 4)))
      client.received = client.received.subarray(offset + length)
    }
  }

  const join = (index: number) => {
    const socket = connect({ host: "127.0.0.1", port, noDelay: true })
    socket.on("error", () => {})
    socket.on("close", () => {
      if (!ending) broken++
    })
    const name = `bench-${run}-${index}`
    const begin = (received: Buffer) => {
      const client: Client = {
        socket,
        start: Date.now() / 1000,
        startedAt: now(),
        sent: 0,
        sentAt: new Float64Array(sentTimes),
        acknowledged: 0,
        received,
        open: true,
        frameHead: protocol === "appends" ? request("POST", name, 12 + audio.length) : frameHead
      }
      clients.push(client)
      socket.on("data", (data) => (protocol === "appends" ? onResponses : onData)(client, data))
      socket.on("close", () => (client.open = false))
    }
    if (protocol === "appends") {
      socket.write(request("PUT", name, 0))
      socket.once("data", (data) => (data.toString().startsWith("HTTP/1.1 201") ? begin(empty) : socket.destroy()))
      return
    }
    const nonce = randomBytes(16).toString("base64")
    socket.write(
      `GET /v1/trigger/listen?sample_rate=${sampleRate}&audio_timeline=2&ack=1&uid=bench-${index} HTTP/1.1\r\n` +
        `Host: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
        `Sec-WebSocket-Key: ${nonce}\r\nAuthorization: Bearer ${key}\r\n\r\n`
    )
    let greeting = ""
    const greet = (data: Buffer) => {
      greeting += data.toString("latin1")
      const end = greeting.indexOf("\r\n\r\n")
      if (end === -1) return
      const accept = createHash("sha1").update(`${nonce}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64")
      if (!greeting.startsWith("HTTP/1.1 101") || !greeting.includes(accept)) return socket.destroy()
      socket.off("data", greet)
      socket.write(conversation(name))
      begin(Buffer.from(greeting.slice(end + 4), "latin1"))
    }
    socket.on("data", greet)
  }

  const sendDue = (client: Client, at: number) => {
    while (client.open && client.startedAt + client.sent * frameMillis <= at) {
      const at101 = client.frameHead.length
      const message = Buffer.allocUnsafe(at101 + 12 + audio.length)
      message.set(client.frameHead, 0)
      message.writeUInt32LE(101, at101)
      message.writeDoubleLE(client.start + (client.sent * frameMillis) / 1000, at101 + 4)
      message.set(audio, at101 + 12)
      client.sentAt[client.sent % sentTimes] = now()
      client.socket.write(message)
      if (at - (client.startedAt + client.sent * frameMillis) > 100) lateFrames++
      client.sent++
      frames++
      sentBytes += audio.length
      maxUnsentBytes = Math.max(maxUnsentBytes, client.socket.writableLength)
    }
  }

  const began = now()
  let joined = 0
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      const elapsed = (now() - began) / 1000
      while (joined < captures && joined <= (elapsed / rampSeconds) * captures) join(joined++)
      for (const client of clients) sendDue(client, now())
      if (elapsed < rampSeconds + seconds) return
      clearInterval(timer)
      resolve()
    }, 5)
  })
  // The last frames are acknowledged within a commit and the second between two acknowledgements.
  await new Promise((resolve) => setTimeout(resolve, 5_000))
  ending = true
  const sorted = latencies.toSorted((a, b) => a - b)
  const acknowledgedBytes = clients.reduce((sum, client) => sum + client.acknowledged, 0)
  for (const { socket } of clients) socket.destroy()
  return {
    broken: broken + captures - clients.length,
    sentBytes,
    acknowledgedBytes,
    ackMillis: {
      p50: percentile(sorted, 0.5),
      p99: percentile(sorted, 0.99),
      max: sorted.at(-1) ?? 0,
      count: sorted.length
    },
    maxUnsentBytes,
    lateFrames,
    frames
  }
}

if (import.meta.main) {
  const result = await load(JSON.parse(process.argv[2] ?? "{}"))
  console.log(JSON.stringify(result))
  process.exit(0)
}
