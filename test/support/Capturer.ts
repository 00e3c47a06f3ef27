/** A simulated device: streams samples at live pace and resumes at its last acknowledgement. */
import { WebSocket } from "ws"
import { Bitstream } from "../../src/Audio.ts"

export interface Recorded {
  readonly conversation: string
  /** Unix seconds of the first sample. */
  readonly start: number
  readonly sampleRate: number
  /** Default `pcm16`. */
  readonly codec?: "pcm16" | "opus"
  /** PCM16 LE, or Opus packets with their lengths. */
  readonly pcm: Buffer
}

const opcode = (code: number, body: Uint8Array) => {
  const message = Buffer.alloc(4 + body.length)
  message.writeUInt32LE(code, 0)
  message.set(body, 4)
  return message
}

export const switchTo = (conversation: string) => opcode(103, Buffer.from(conversation))

export const audioFrame = (start: number, pcm: Uint8Array) => {
  const body = Buffer.alloc(8 + pcm.length)
  body.writeDoubleLE(start, 0)
  body.set(pcm, 8)
  return opcode(101, body)
}

/** `through` of the last 203, per conversation. */
export const readAck = (
  message: Buffer
): { conversation_id: string; through: number; bytes: number; stored?: number } | undefined =>
  message.readUInt32LE(0) === 203 ? JSON.parse(message.toString("utf8", 4)) : undefined

export interface CapturerOptions {
  /** Called before every connection: the server can move, or be down (`undefined`). */
  readonly server: () => { readonly url: string; readonly key: string } | undefined
  readonly frameSeconds?: number
  /** Factor of real time. */
  readonly speed?: number
  /** The user to act for; the key needs the scope `service`. */
  readonly uid?: string
  readonly onAck?: (through: number) => void
}

const pause = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis))

/** Sends until everything is acknowledged. Returns the number of connections that it took. */
export const stream = async (recorded: Recorded, options: CapturerOptions): Promise<number> => {
  const { codec = "pcm16", conversation, pcm, sampleRate, start } = recorded
  const bitstream = Bitstream.of(codec, sampleRate)
  const samples = bitstream.samples(pcm)
  const frame = Math.round((options.frameSeconds ?? 0.1) * sampleRate)
  const speed = options.speed ?? 1
  let acknowledged = 0
  let connections = 0
  while (acknowledged < samples) {
    const server = options.server()
    if (server === undefined) {
      await pause(20)
      continue
    }
    connections++
    acknowledged = await new Promise<number>((resolve) => {
      const user = options.uid === undefined ? "" : `&uid=${options.uid}`
      const query = `sample_rate=${sampleRate}&audio_timeline=2&ack=1&codec=${codec}${user}`
      const url = `${server.url.replace("http", "ws")}/v1/trigger/listen?${query}`
      const socket = new WebSocket(url, { headers: { authorization: `Bearer ${server.key}` } })
      let done = acknowledged
      let timer: NodeJS.Timeout | undefined
      socket.on("open", () => {
        socket.send(switchTo(conversation))
        let sent = bitstream.bytesOf(pcm, acknowledged)
        let at = bitstream.samples(pcm.subarray(0, sent))
        const began = performance.now()
        const first = at
        const send = () => {
          const due = first + ((performance.now() - began) / 1000) * sampleRate * speed
          while (at < samples && at < due && socket.bufferedAmount < 1 << 20) {
            const rest = pcm.subarray(sent)
            const audio = rest.subarray(0, bitstream.bytesOf(rest, frame) || bitstream.first(rest))
            socket.send(audioFrame(start + at / sampleRate, audio))
            at += bitstream.samples(audio)
            sent += audio.length
          }
        }
        timer = setInterval(send, 10)
        send()
      })
      socket.on("message", (data: Buffer) => {
        const ack = readAck(data)
        if (ack === undefined || ack.conversation_id !== conversation) return
        done = Math.max(done, Math.min(samples, Math.round((ack.through - start) * sampleRate)))
        options.onAck?.(ack.through)
        if (done === samples) socket.close()
      })
      socket.on("error", () => {})
      socket.on("close", () => {
        clearInterval(timer)
        resolve(done)
      })
    })
    if (acknowledged < samples) await pause(20)
  }
  return connections
}

/** Sends a second of silence at each of `starts`, ascending, until all of it is acknowledged. */
export const streamAt = (
  server: { readonly url: string; readonly key: string },
  conversation: string,
  starts: ReadonlyArray<number>,
  rate = 8_000
): Promise<void> =>
  new Promise((resolve, reject) => {
    const url = `${server.url.replace("http", "ws")}/v1/trigger/listen?sample_rate=${rate}&audio_timeline=2&ack=1`
    const socket = new WebSocket(url, { headers: { authorization: `Bearer ${server.key}` } })
    const last = (starts.at(-1) ?? 0) + 1
    let isDone = false
    socket.on("open", () => {
      socket.send(switchTo(conversation))
      for (const start of starts) socket.send(audioFrame(start, Buffer.alloc(rate * 2)))
    })
    socket.on("message", (data: Buffer) => {
      if ((readAck(data)?.through ?? 0) < last - 0.001) return
      isDone = true
      socket.close()
    })
    socket.on("error", () => {})
    socket.on("close", (code) => (isDone ? resolve() : reject(new Error(`closed with ${code}`))))
  })
