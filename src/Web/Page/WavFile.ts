/** A WAV file as a source: read a slice at a time, however long it is. */
import type { Source } from "./Source.ts"

/** The file can't be sent; the message says what it is and how to convert it. */
export class NotSendable extends Error {}

const convert = (name: string) => {
  const plain = name.replaceAll('"', "")
  return `Convert it with: ffmpeg -i "${plain}" -ac 1 -ar 16000 -c:a pcm_s16le "${plain.replace(/\.[^.]*$/, "")}-16k.wav"`
}

const formats: Readonly<Record<number, string>> = {
  2: "ADPCM",
  3: "floating-point samples",
  6: "A-law",
  7: "µ-law",
  17: "IMA ADPCM",
  85: "MP3 in a WAV file"
}

/** What files of other kinds have at a byte. */
const signatures: ReadonlyArray<readonly [number, string, string]> = [
  [0, "ID3", "an MP3 file"],
  [0, "\u00ff\u00fb", "an MP3 file"],
  [0, "\u00ff\u00f3", "an MP3 file"],
  [0, "OggS", "an Ogg file"],
  [0, "fLaC", "a FLAC file"],
  [4, "ftyp", "an MP4 or M4A file"],
  [0, "\u001aE\u00df\u00a3", "a WebM or Matroska file"],
  [8, "AIF", "an AIFF file"],
  [0, "%PDF", "a PDF document"],
  [0, "PK", "a ZIP archive"]
]

/** Reading gives up after as many chunks before the audio. */
const maxChunks = 1_000
const extensible = 0xfffe
const unknownSize = 0xffff_ffff
/** What is read of a format: as much as the extensible one has. */
const formatBytes = 40

interface Format {
  readonly coding: number
  readonly channels: number
  readonly rate: number
  readonly bits: number
}

/** Where in the file the audio is, in bytes, and its start in unix seconds. */
interface Audio extends Format {
  readonly at: number
  readonly bytes: number
  readonly missing: number
  readonly start: number
}

const viewOf = async (file: File, from: number, length: number) => {
  const bytes = await file
    .slice(from, from + length)
    .arrayBuffer()
    .catch(() => undefined)
  if (bytes !== undefined) return new DataView(bytes)
  throw new NotSendable(`${file.name} can't be read. It may be a folder, or was moved or changed meanwhile.`)
}

const latin = (view: DataView, from = 0, length = view.byteLength) =>
  String.fromCharCode(...new Uint8Array(view.buffer, from, Math.max(0, Math.min(length, view.byteLength - from))))

const readFormat = (view: DataView): Format => {
  const coding = view.getUint16(0, true)
  return {
    coding: coding === extensible && view.byteLength >= 26 ? view.getUint16(24, true) : coding,
    channels: view.getUint16(2, true),
    rate: view.getUint32(4, true),
    bits: view.getUint16(14, true)
  }
}

const complaint = ({ bits, channels, coding, rate }: Format): string | undefined => {
  if (coding !== 1) return `holds ${formats[coding] ?? `a coding (${coding}) that is not PCM`}`
  if (bits !== 16) return `has samples of ${bits} bits, not 16`
  if (channels < 1 || channels > 8) return `has ${channels} channels`
  return rate < 8_000 || rate > 48_000 ? `has ${rate} samples a second; 8000 to 48000 can be sent` : undefined
}

export class WavFile implements Source {
  readonly name: string
  readonly sampleRate: number
  readonly channels: number
  readonly end: number
  readonly ended = true
  /** Unix seconds of the first sample. */
  readonly start: number
  /** Seconds that the file's head promises and that are not there. */
  readonly missing: number
  readonly #file: File
  readonly #at: number

  constructor(file: File, { at, bytes, channels, missing, rate, start }: Audio) {
    this.name = file.name
    this.sampleRate = rate
    this.channels = channels
    this.end = Math.floor(bytes / 2 / channels)
    this.start = start
    this.missing = missing / 2 / channels / rate
    this.#file = file
    this.#at = at
  }

  timeOf(sample: number): number {
    return this.start + sample / this.sampleRate
  }

  sampleAt(time: number): number {
    return Math.max(0, Math.min(this.end, Math.round((time - this.start) * this.sampleRate)))
  }

  breakAfter(): number {
    return Infinity
  }

  /** Several channels are sent as their mean. */
  async read(from: number, to: number): Promise<Uint8Array> {
    const frame = 2 * this.channels
    const view = await viewOf(this.#file, this.#at + from * frame, (to - from) * frame)
    if (view.byteLength !== (to - from) * frame) throw new NotSendable(`${this.name} was changed while it was sent.`)
    if (this.channels === 1) return new Uint8Array(view.buffer)
    const mixed = new DataView(new ArrayBuffer(2 * (to - from)))
    for (let sample = 0; sample < to - from; sample++) {
      let sum = 0
      for (let channel = 0; channel < this.channels; channel++) sum += view.getInt16(sample * frame + 2 * channel, true)
      mixed.setInt16(2 * sample, Math.round(sum / this.channels), true)
    }
    return new Uint8Array(mixed.buffer)
  }

  release(): void {}
}

const notWav = (file: File, head: string): NotSendable => {
  const what = signatures.find(([at, bytes]) => head.startsWith(bytes, at))?.[2] ?? "not a WAV file"
  return new NotSendable(`${file.name} is ${what}; 16-bit PCM in a WAV file can be sent. ${convert(file.name)}`)
}

/** Reads the file's head. Throws `NotSendable`. */
export const open = async (file: File, start: number): Promise<WavFile> => {
  const head = await viewOf(file, 0, 12)
  const text = latin(head)
  if (!/^(RIFF|RF64)....WAVE/s.test(text)) throw notWav(file, text)
  let format: Format | undefined
  let long: number | undefined
  let at = 12
  for (let count = 0; count < maxChunks; count++) {
    const chunk = await viewOf(file, at, 48)
    if (chunk.byteLength < 8) break
    const name = latin(chunk, 0, 4)
    const size = chunk.getUint32(4, true)
    at += 8
    if (name === "ds64" && chunk.byteLength >= 24) long = Number(chunk.getBigUint64(16, true))
    if (name === "fmt " && size >= 16) format = readFormat(await viewOf(file, at, Math.min(size, formatBytes)))
    if (name === "data") {
      if (format === undefined) break
      const wrong = complaint(format)
      if (wrong !== undefined) throw new NotSendable(`${file.name} ${wrong}. ${convert(file.name)}`)
      const promised = size === unknownSize || size === 0 ? (long ?? file.size - at) : size
      const bytes = Math.min(file.size - at, promised)
      if (bytes < 2 * format.channels) throw new NotSendable(`${file.name} holds no audio.`)
      return new WavFile(file, { ...format, at, bytes, missing: promised - bytes, start })
    }
    at += size + (size % 2)
  }
  throw new NotSendable(`${file.name} is a WAV file without audio that can be read. ${convert(file.name)}`)
}
