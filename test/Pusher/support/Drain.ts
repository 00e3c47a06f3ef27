/** Stops a server while captures stream to it, and compares what it plays after a restart with what it acknowledged. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { audioFrame, readAck, switchTo } from "../../support/Capturer.ts"
import { type CaptureSocket, openCaptureSocket } from "../../support/CaptureSocket.ts"
import { random } from "../../support/Crash.ts"
import { playedOf } from "../../support/Crash/Played.ts"
import { dataDirectory, type Server, startServer } from "../../support/Server.ts"

const sampleRate = 16_000
const bytesPerSecond = sampleRate * 2
const frameMillis = 500
const frameBytes = (bytesPerSecond * frameMillis) / 1000

/** Captures that connect, or conversations that are played, at a time. */
const atOnce = 20

/** Milliseconds until the first 503 of the readiness, and until the process has ended. */
const unreadyWithin = 2_000
const exitWithin = 35_000

/** Milliseconds between two requests for the readiness of a stopping server. */
const pollEvery = 20

export interface DrainOptions {
  readonly captures: number
  /** Time before the stop, at most 60. Captures keep sending while the server stops. */
  readonly seconds: number
}

export interface DrainReport {
  readonly code: number | null
  /** From SIGTERM on. */
  readonly exitMillis: number
  readonly unreadyMillis: number
  readonly closedMillis: number
  /** Captures by their notices and the code that closed their socket. */
  readonly ends: Readonly<Record<string, number>>
  /** Sockets that were opened after the first 503, by their answer. */
  readonly newSockets: Readonly<Record<string, number>>
  /** Responses of the readiness after its first 503 that say the node is ready. */
  readonly readyAgain: number
  readonly sentBytes: number
  readonly acknowledgedBytes: number
  readonly playedBytes: number
  /** Conversations that play less than was acknowledged, or something else than was sent. */
  readonly wrong: ReadonlyArray<string>
  /** What the server has logged about its audio. */
  readonly log: string
}

export const drainComplaints = (report: DrainReport, captures: number): ReadonlyArray<string> =>
  [
    report.code === 0 ? "" : `the server ended with ${report.code}`,
    report.exitMillis <= exitWithin ? "" : `the server ended after ${report.exitMillis} ms`,
    report.unreadyMillis <= unreadyWithin ? "" : `the node was ready for ${report.unreadyMillis} ms`,
    report.readyAgain === 0 ? "" : "a stopping node said that it is ready",
    report.ends["draining 1001"] === captures ? "" : `captures ended with ${JSON.stringify(report.ends)}`,
    (report.newSockets["1001"] ?? 0) > 0 ? "" : "no new socket was closed with 1001",
    Object.keys(report.newSockets).every((end) => ["1001", "503", "refused"].includes(end))
      ? ""
      : `new sockets ended with ${JSON.stringify(report.newSockets)}`,
    report.acknowledgedBytes > 0 ? "" : "nothing was acknowledged",
    report.wrong.length === 0 ? "" : `wrong: ${report.wrong.slice(0, 10).join(", ")}`,
    report.log.includes("no audio stays in the journal") ? "" : `audio was not uploaded: ${report.log}`
  ].filter((complaint) => complaint !== "")

const pause = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis))

/** Runs `work` for each, `atOnce` at a time. */
const forEach = async <A, B>(all: ReadonlyArray<A>, work: (one: A) => Promise<B>): Promise<ReadonlyArray<B>> => {
  const results: Array<B> = []
  const rest = all.entries()
  const worker = async () => {
    for (const [index, one] of rest) results[index] = await work(one)
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  return results
}

const countsOf = (names: ReadonlyArray<string>): Readonly<Record<string, number>> =>
  Object.fromEntries([...Map.groupBy(names, (name) => name)].map(([name, { length }]) => [name, length]))

const noise = (bytes: number): Buffer => {
  const next = random(1)
  const made = Buffer.alloc(bytes)
  for (let at = 0; at < bytes; at += 4) made.writeUInt32LE(Math.floor(next() * 2 ** 32), at)
  return made
}

interface Device {
  readonly uid: string
  readonly audio: Buffer
  readonly capture: CaptureSocket
  readonly start: number
  sent: number
}

const acknowledgedBy = ({ capture }: Device) =>
  capture.messages.reduce((most, message) => Math.max(most, readAck(message)?.bytes ?? 0), 0)

const send = (device: Device) => {
  const { audio, capture, start } = device
  if (capture.socket.readyState !== capture.socket.OPEN || device.sent >= audio.length) return
  const frame = audio.subarray(device.sent, device.sent + frameBytes)
  capture.socket.send(audioFrame(start + device.sent / bytesPerSecond, frame))
  device.sent += frame.length
}

/** Polls the readiness, and connects after its first 503, until the server accepts no connection. */
const watch = async (server: Server, began: number) => {
  let [unreadyMillis, readyAgain] = [Infinity, 0]
  const sockets: Array<Promise<string>> = []
  const connect = async () => {
    try {
      const { closed, status } = await openCaptureSocket(server, { query: "?ack=1&uid=late" })
      return String(status === 101 ? (await closed).code : status)
    } catch {
      return "refused"
    }
  }
  for (;;) {
    const response = await fetch(`${server.url}/health/ready`).catch(() => undefined)
    if (response === undefined) break
    await response.text()
    if (response.status === 503) unreadyMillis = Math.min(unreadyMillis, performance.now() - began)
    else if (unreadyMillis < Infinity) readyAgain++
    if (unreadyMillis < Infinity) sockets.push(connect())
    await pause(pollEvery)
  }
  return { unreadyMillis: Math.round(unreadyMillis), readyAgain, newSockets: countsOf(await Promise.all(sockets)) }
}

export const drain = async ({ captures, seconds }: DrainOptions): Promise<DrainReport> => {
  const spread = 2 ** 20
  // Captures keep sending for as long as a stop may last.
  const all = noise(spread + bytesPerSecond * (seconds + exitWithin / 1000))
  const dataDir = dataDirectory()
  let server = await startServer(dataDir)
  try {
    const query = `?sample_rate=${sampleRate}&audio_timeline=2&ack=1`
    const connected = await forEach(
      Array.from({ length: captures }, (_, index) => index),
      async (index): Promise<Device> => {
        const uid = `device-${index}`
        const capture = await openCaptureSocket(server, { query: `${query}&uid=${uid}` })
        capture.socket.send(switchTo(uid))
        const audio = all.subarray((index * 4_096) % spread)
        return { uid, capture, audio, start: Date.now() / 1000, sent: 0 }
      }
    )
    // A client that is gone and answers no close frame: the server waits for it while it rejects others.
    const gone = await openCaptureSocket(server, { query: "?uid=gone" })
    gone.socket.pause()
    const began = performance.now()
    const sending = setInterval(() => {
      const due = ((performance.now() - began) / 1000) * bytesPerSecond
      for (const device of connected) if (device.sent < due) send(device)
    }, frameMillis / 10)
    await pause(seconds * 1000)
    await forEach(connected, ({ capture }) => capture.acknowledged(1))

    const stopped = performance.now()
    const ending = server.stop()
    const watching = watch(server, stopped)
    const codes = await forEach(connected, ({ capture }) => capture.closed)
    const closedMillis = performance.now() - stopped
    const code = await ending
    const exitMillis = performance.now() - stopped
    clearInterval(sending)
    gone.socket.terminate()
    const watched = await watching
    const log = /recording stopped after [^"]*/.exec(server.output())?.[0] ?? ""
    const ends = connected.map(({ capture }, index) => {
      const notices = capture.messages.filter((message) => message.readUInt32LE(0) === 204)
      const types = notices.map((notice) => JSON.parse(notice.toString("utf8", 4)).type)
      return [...types, codes[index]?.code].join(" ")
    })

    server = await startServer(dataDir)
    let [sentBytes, acknowledgedBytes, playedBytes] = [0, 0, 0]
    const wrong: Array<string> = []
    await forEach(connected, async (device) => {
      const played = await playedOf(server, device.uid, device.uid)
      const acknowledged = acknowledgedBy(device)
      sentBytes += device.sent
      acknowledgedBytes += acknowledged
      playedBytes += played.length
      if (played.length < acknowledged) wrong.push(`${device.uid} lacks ${acknowledged - played.length} bytes`)
      if (played.length > device.sent || !played.equals(device.audio.subarray(0, played.length)))
        wrong.push(`${device.uid} plays something else`)
    })
    await server.stop()
    return {
      code,
      exitMillis: Math.round(exitMillis),
      closedMillis: Math.round(closedMillis),
      ...watched,
      ends: countsOf(ends),
      sentBytes,
      acknowledgedBytes,
      playedBytes,
      wrong,
      log
    }
  } finally {
    await server.kill()
    Fs.rmSync(Path.dirname(dataDir), { recursive: true, force: true, maxRetries: 20 })
  }
}
