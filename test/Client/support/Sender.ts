/** A client whose changes tests wait for, and what the server plays back. */
import { onTestFinished } from "vitest"
import { CaptureClient, type ClientOptions, type Notice } from "../../../src/Client.ts"
import { random } from "../../support/Crash.ts"
import { seed } from "../../support/Seed.ts"

interface Place {
  readonly url: string
  readonly key: string
}

export interface Sender {
  readonly client: CaptureClient
  readonly notices: ReadonlyArray<Notice>
  /** Waits for a change after which it holds. */
  readonly when: (holds: (client: CaptureClient) => boolean) => Promise<void>
}

/** It ends with the test. */
export const openSender = (place: Place, options: Partial<ClientOptions> = {}): Sender => {
  const waiting = new Set<() => void>()
  const notices: Array<Notice> = []
  const client = new CaptureClient({
    ...place,
    conversation: "talk",
    backoffMillis: 20,
    maxBackoffMillis: 200,
    onChange: () => waiting.forEach((look) => look()),
    onNotice: (notice) => notices.push(notice),
    ...options
  })
  onTestFinished(async () => void (await client.close({ deadlineMillis: 0 })))
  return {
    client,
    notices,
    when: (holds) =>
      new Promise((resolve) => {
        const look = () => {
          if (!holds(client)) return
          waiting.delete(look)
          resolve()
        }
        waiting.add(look)
        look()
      })
  }
}

/** Noise, so that no two parts are equal. */
export const noise = (seconds: number, rate = 16_000): Buffer => {
  const next = random(seed)
  const pcm = Buffer.alloc(seconds * rate * 2)
  for (let at = 0; at < pcm.length; at += 2) pcm.writeInt16LE(Math.floor(next() * 65_536) - 32_768, at)
  return pcm
}

export const start = 1_700_000_000

/** Sends PCM of 16 kHz in messages of a tenth of a second, as fast as the client accepts it. */
export const sendAll = async (client: CaptureClient, pcm: Uint8Array, from = start): Promise<void> => {
  const frame = 3_200
  for (let at = 0; at < pcm.length; at += frame) {
    const part = pcm.subarray(at, at + frame)
    if (!(await client.ready(part.length))) return
    if (!client.send(from + at / 32_000, part)) throw new Error("audio that fits is not accepted")
  }
}

/** All audio of a conversation as PCM. */
export const played = async ({ key, url }: Place, conversation = "talk"): Promise<Buffer> => {
  const api = async (path: string) => {
    const response = await fetch(`${url}${path}`, { headers: { authorization: `Bearer ${key}` } })
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
    return response
  }
  const body: { readonly audio_files: ReadonlyArray<{ readonly id: string }> } = JSON.parse(
    await (await api(`/v1/conversations/${conversation}`)).text()
  )
  const parts = body.audio_files.map(async ({ id }) =>
    Buffer.from(await (await api(`/v1/sync/audio/${conversation}/${id}?format=pcm`)).arrayBuffer())
  )
  return Buffer.concat(await Promise.all(parts))
}
