/** Listeners, recorded speech and the peers of the benches of playback. */
import { type ChildProcess, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as http from "node:http"
import * as path from "node:path"
import { stream } from "../../test/support/Capturer.ts"
import type { Server } from "../../test/support/Server.ts"
import { metric, pause } from "../Measurement.ts"

export interface Target {
  readonly pid: number
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
}

export const sampleRate = 16_000
export const wavHeader = 44

const agent = new http.Agent({ keepAlive: true })

export interface Heard {
  /** Milliseconds to the first byte of audio, not of headers. */
  readonly firstByteMs: number
  readonly millis: number
  readonly bytes: number
}

/** Reads the body, or closes after the first byte of audio. */
export const listen = (target: Target, range?: string, hangUp = false): Promise<Heard> =>
  new Promise<Heard>((resolve, reject) => {
    const began = performance.now()
    const headers = { ...target.headers, ...(range === undefined ? {} : { range }) }
    const request = http.get(target.url, { headers, agent: hangUp ? false : agent }, (response) => {
      if (response.statusCode !== (range === undefined ? 200 : 206)) reject(new Error(`status ${response.statusCode}`))
      let bytes = 0
      let firstByteMs = Number.NaN
      response.on("data", (data: Buffer) => {
        bytes += data.length
        if (Number.isNaN(firstByteMs) && bytes > wavHeader) {
          firstByteMs = performance.now() - began
          if (hangUp) {
            request.destroy()
            resolve({ firstByteMs, millis: firstByteMs, bytes })
          }
        }
      })
      response.on("end", () => resolve({ firstByteMs, millis: performance.now() - began, bytes }))
      response.on("error", (error) => (hangUp ? undefined : reject(error)))
    })
    request.on("error", (error) => (hangUp ? undefined : reject(error)))
  })

const peers = new Set<ChildProcess>()

/** Runs a peer until `stopPeers`. */
export const adopt = (child: ChildProcess): void => void peers.add(child)

export const startPeer = async (script: string, ...args: ReadonlyArray<string>): Promise<Target> => {
  const child = spawn(process.execPath, [path.join(import.meta.dirname, script), ...args], {
    stdio: ["ignore", "pipe", "inherit"]
  })
  adopt(child)
  const port = await new Promise<number>((resolve, reject) => {
    child.stdout.once("data", (data: Buffer) => resolve(JSON.parse(data.toString()).port))
    child.once("exit", (code) => reject(new Error(`${script} ended with ${code}`)))
  })
  return { pid: child.pid ?? 0, url: `http://127.0.0.1:${port}/`, headers: {} }
}

export const stopPeers = (): void => {
  for (const peer of peers) peer.kill("SIGKILL")
  agent.destroy()
}

/** Sentences of noise and silence; the content makes no difference to the servers. */
export const speech = (minutes: number): Buffer => {
  const pcm = Buffer.alloc(minutes * 60 * sampleRate * 2)
  let seed = 1
  for (let at = 0; at < pcm.length; at += 2) {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) | 0
    pcm.writeInt16LE((at >> 16) % 3 === 0 ? 0 : seed >> 20, at)
  }
  return pcm
}

const stored = (server: Server) => metric(server, /^spillway_upload_chunks_total (\S+)/m)

/** Records through the capture socket, waits until all of it is stored, and returns the audio file. */
export const record = async (server: Server, conversation: string, pcm: Buffer): Promise<Target> => {
  const before = await stored(server)
  const recorded = { conversation, start: 1_700_000_000.125, sampleRate, pcm }
  await stream(recorded, { server: () => server, frameSeconds: 1, speed: 1e9 })
  const chunks = Math.ceil(pcm.length / (60 * sampleRate * 2))
  while ((await stored(server)) < before + chunks) await pause(100)
  const headers = { authorization: `Bearer ${server.key}` }
  const found = await (await fetch(`${server.url}/v1/conversations/${conversation}`, { headers })).text()
  const id = /"audio_files":\[\{"id":"([^"]+)"/.exec(found)?.[1]
  return { pid: server.pid, url: `${server.url}/v1/sync/audio/${conversation}/${id}`, headers }
}

/** The objects of chunks in a store on disk, by start. */
export const keysIn = (objects: string): ReadonlyArray<string> =>
  fs
    .readdirSync(path.join(objects, "chunks"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith("="))
    .map((name) => `chunks/${name.slice(0, -1)}`)
    .toSorted()
