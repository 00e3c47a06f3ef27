/** A WAV file as a source, read in slices. */
import * as WavReader from "../../../WavReader.ts"
import type { Source } from "./Source.ts"

/** The file can't be sent. The message says what it is and how to convert it. */
export class NotSendable extends Error {}

const convert = (name: string) => {
  const plain = name.replaceAll('"', "")
  return `Convert it with: ffmpeg -i "${plain}" -ac 1 -ar 16000 -c:a pcm_s16le "${plain.replace(/\.[^.]*$/, "")}-16k.wav"`
}

const bytesOf = async (file: File, from: number, length: number) => {
  const bytes = await file
    .slice(from, from + length)
    .arrayBuffer()
    .catch(() => undefined)
  if (bytes !== undefined) return new Uint8Array(bytes)
  throw new NotSendable(`${file.name} can't be read. It may be a folder, or was moved or changed meanwhile.`)
}

export class WavFile implements Source {
  readonly name: string
  readonly sampleRate: number
  readonly end: number
  readonly ended = true
  /** Unix seconds of the first sample. */
  readonly start: number
  /** Seconds that the header announces and the file lacks. */
  readonly missing: number
  /** The header has no sizes, so everything after it counts as audio. */
  readonly isUnfinished: boolean
  /** Channels of the file; what is read is their mean. */
  readonly channels: number
  readonly #file: File
  readonly #audio: WavReader.Audio
  /** Offset of the first sample in the file. */
  readonly #at: number

  constructor(file: File, audio: WavReader.Audio, at: number, start: number) {
    const { missing, samples } = WavReader.extent(audio, file.size - at)
    this.name = file.name
    this.sampleRate = audio.sampleRate
    this.end = samples
    this.start = start
    this.missing = missing / audio.sampleRate
    this.isUnfinished = audio.isUnfinished
    this.channels = audio.channels
    this.#file = file
    this.#audio = audio
    this.#at = at
  }

  timeOf(sample: number): number {
    return this.start + sample / this.sampleRate
  }

  breakAfter(): number {
    return Infinity
  }

  async read(from: number, to: number): Promise<Uint8Array> {
    const frame = WavReader.frameBytes(this.#audio)
    const bytes = await bytesOf(this.#file, this.#at + from * frame, (to - from) * frame)
    if (bytes.length !== (to - from) * frame) throw new NotSendable(`${this.name} was changed while it was sent.`)
    return WavReader.toMono(bytes, this.#audio.channels)
  }

  release(): void {}
}

/** Reads the header. Throws `NotSendable`. */
export async function open(file: File, start: number): Promise<WavFile> {
  const reading = WavReader.read(file.size)
  let at = 0
  let step = reading.next(new Uint8Array(0))
  while (step.done !== true) {
    at += step.value.skip
    step = reading.next(await bytesOf(file, at, step.value.peek))
  }
  const audio = step.value
  if (!("found" in audio)) return new WavFile(file, audio, at, start)
  throw new NotSendable(
    `${file.name} is ${audio.found}; a WAV file with 16-bit PCM, 8000 to 48000 Hz, can be sent. ${convert(file.name)}`
  )
}
