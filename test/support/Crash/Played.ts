/** What a server plays of conversations, compared with what devices have sent. */
import type { Device } from "./Device.ts"

interface Place {
  readonly url: string
  readonly key: string
}

/** Bytes of a WAV file before its samples. */
const headBytes = 44

/** The samples of all audio files of a conversation. */
export const playedOf = async ({ key, url }: Place, conversation: string, uid: string): Promise<Buffer> => {
  const get = async (path: string) => {
    const response = await fetch(`${url}${path}?uid=${uid}`, { headers: { authorization: `Bearer ${key}` } })
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
    return response
  }
  const body: { readonly audio_files: ReadonlyArray<{ readonly id: string }> } = JSON.parse(
    await (await get(`/v1/conversations/${conversation}`)).text()
  )
  const played: Array<Buffer> = []
  for (const { id } of body.audio_files) {
    const audio = await (await get(`/v1/sync/audio/${conversation}/${id}`)).arrayBuffer()
    played.push(Buffer.from(audio).subarray(headBytes))
  }
  return Buffer.concat(played)
}

/** Audio without the silence of pauses: the devices send no sample of 0. */
const heardIn = (pcm: Buffer): Buffer => {
  const samples = new Int16Array(pcm.buffer, pcm.byteOffset, pcm.length / 2)
  return Buffer.from(samples.filter((sample) => sample !== 0).buffer)
}

/** Where what is played first differs from what was sent, and where it was sent instead. */
const differenceOf = (heard: Buffer, sent: Buffer): string => {
  let at = 0
  while (at < heard.length && heard[at] === sent[at]) at += 2
  const sentAt = sent.indexOf(heard.subarray(at, at + 64)) / 2
  return `plays ${heard.length / 2} samples for ${sent.length / 2}: from ${at / 2} on those sent at ${sentAt}`
}

export interface Playback {
  readonly conversations: number
  readonly sentSamples: number
  /** Conversations that play something else than was sent, and what. */
  readonly different: ReadonlyArray<string>
}

export const compareWithPlayed = async (place: Place, devices: ReadonlyArray<Device>): Promise<Playback> => {
  const different: Array<string> = []
  let [conversations, sentSamples] = [0, 0]
  for (const { sent: all, uid } of devices) {
    for (const [conversation, pieces] of all) {
      const [heard, sent] = [heardIn(await playedOf(place, conversation, uid)), Buffer.concat(pieces)]
      conversations++
      sentSamples += sent.length / 2
      if (!heard.equals(sent)) different.push(`${conversation} ${differenceOf(heard, sent)}`)
    }
  }
  return { conversations, sentSamples, different }
}
