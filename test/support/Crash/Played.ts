/** What a server plays of conversations, compared with what devices have sent. */
import type { Device } from "./Device.ts"

interface Place {
  readonly url: string
  readonly key: string
}

/** Bytes of a WAV file before its samples. */
const headerBytes = 44

/** The samples of all audio files of a conversation, none if it does not exist. */
export const playedOf = async ({ key, url }: Place, conversation: string, uid: string): Promise<Buffer> => {
  const get = async (path: string) => {
    const response = await fetch(`${url}${path}?uid=${uid}`, { headers: { authorization: `Bearer ${key}` } })
    if (!response.ok && response.status !== 404) throw new Error(`${path}: ${response.status} ${await response.text()}`)
    return response
  }
  const body: { readonly audio_files?: ReadonlyArray<{ readonly id: string }> } = JSON.parse(
    await (await get(`/v1/conversations/${conversation}`)).text()
  )
  const played: Array<Buffer> = []
  for (const { id } of body.audio_files ?? []) {
    const audio = await (await get(`/v1/sync/audio/${conversation}/${id}`)).arrayBuffer()
    played.push(Buffer.from(audio).subarray(headerBytes))
  }
  return Buffer.concat(played)
}

const needleBytes = 64
const strideBytes = 3_200

/** Audio without the silence of pauses: the devices send no sample of 0. */
const heardIn = (pcm: Buffer): Buffer => {
  const samples = new Int16Array(pcm.buffer, pcm.byteOffset, pcm.length / 2)
  return Buffer.from(samples.filter((sample) => sample !== 0).buffer)
}

/** More are not listed. */
const maxRuns = 12

const commonBytes = (heard: Buffer, at: number, sent: Buffer, from: number): number => {
  let length = 0
  while (at + length < heard.length && heard[at + length] === sent[from + length]) length++
  return length - (length % 2)
}

/** What is heard, as runs of what was sent. */
export const describeRuns = (heard: Buffer, sent: Buffer): string => {
  const runs: Array<string> = []
  for (let at = 0; at < heard.length && runs.length < maxRuns;) {
    const from = sent.indexOf(heard.subarray(at, at + needleBytes))
    const length = from === -1 ? needleBytes : Math.max(2, commonBytes(heard, at, sent, from))
    runs.push(`at ${at / 2} ${length / 2} that were ${from === -1 ? "not sent" : `sent at ${from / 2}`}`)
    at += length
  }
  return `plays ${heard.length / 2} samples for ${sent.length / 2}: ${runs.join(", ")}`
}

/** Samples of `sent` that are not in `heard`, in any order. Pieces shorter than a stride may count as missing. */
const missingIn = (heard: Buffer, sent: Buffer): number => {
  let missing = 0
  let at = 0
  while (at < sent.length) {
    let heardAt = heard.indexOf(sent.subarray(at, at + needleBytes))
    if (heardAt === -1) {
      missing += Math.min(strideBytes, sent.length - at)
      at += strideBytes
      continue
    }
    // The piece may begin within the last stride.
    for (let back = 1; back <= Math.min(missing, heardAt) && sent[at - back] === heard[heardAt - back]; back++)
      missing--
    while (at < sent.length && heardAt < heard.length && sent[at] === heard[heardAt]) {
      at++
      heardAt++
    }
  }
  return missing / 2
}

export interface Playback {
  readonly conversations: number
  readonly sentSamples: number
  /** Conversations that do not play what was sent, or lack more samples than are recorded as lost. */
  readonly different: ReadonlyArray<string>
}

/** `lostOf`: the samples of conversations that are recorded as lost. */
export const compareWithPlayed = async (
  place: Place,
  devices: ReadonlyArray<Pick<Device, "sent" | "uid">>,
  lostOf: ReadonlyMap<string, number> = new Map()
): Promise<Playback> => {
  const different: Array<string> = []
  let [conversations, sentSamples] = [0, 0]
  for (const { sent: all, uid } of devices) {
    for (const [conversation, pieces] of all) {
      const [heard, sent] = [heardIn(await playedOf(place, conversation, uid)), Buffer.concat(pieces)]
      conversations++
      sentSamples += sent.length / 2
      const lost = lostOf.get(conversation) ?? 0
      const missing = lost > 0 ? missingIn(heard, sent) : 0
      if (missing > lost)
        different.push(`${conversation} lacks ${missing} samples, of which ${lost} are recorded as lost`)
      if (lost === 0 && !heard.equals(sent)) different.push(`${conversation} ${describeRuns(heard, sent)}`)
    }
  }
  return { conversations, sentSamples, different }
}
