/**
 * Where the audio of a WAV file is, and what it is: RIFF, RF64 (EBU Tech 3306) and BW64 (ITU-R BS.2088), as writers leave
 * them. For the command line and the page, so it imports nothing and knows neither Node nor the DOM: it asks for bytes.
 */

/** Wanted: after moving on by `skip` bytes (back by less than 0, only if the file's size is known), up to `peek` bytes from there. */
export interface Ask {
  readonly skip: number
  readonly peek: number
}

interface Format {
  readonly coding: number
  readonly channels: number
  readonly sampleRate: number
  readonly bits: number
}

/** Audio that can be read, 16-bit PCM, whose first byte is where the last `Ask` was. */
export interface Audio {
  readonly channels: number
  readonly sampleRate: number
  /** What the header promises; undefined when it does not tell, and all that follows is audio. */
  readonly bytes: number | undefined
  /** Its writer never filled in the sizes. */
  readonly isUnfinished: boolean
}

/** `found` says what the file is instead: "an MP3 file". */
export interface Unsupported {
  readonly found: string
}

const pcm = 1
const extensible = 0xfffe
const bytesPerSample = 2
const leastRate = 8_000
const mostRate = 48_000
const mostChannels = 8
/** Reading gives up after so many chunks, and after so many ID3 tags. */
const maxChunks = 1_000
const maxTags = 16

/** What is read of a chunk at once: its head, and as much as the longest format has. */
const chunkHead = 8
const formatBytes = 40
/** In place of a size that is in the `ds64` chunk, or that a writer to a pipe did not know. */
const elsewhere = 0xffff_ffff

/** What sox, arecord and others write in place of a size that they do not know, close to 2 GiB. */
const isPlaceholder = (size: number): boolean => size >= 0x7fff_0000 && size <= 0x8000_0000

const codings: Readonly<Record<number, string>> = {
  1: "PCM",
  2: "ADPCM",
  3: "floating-point",
  6: "A-law",
  7: "µ-law",
  17: "IMA ADPCM",
  85: "MP3"
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

/** Chunks that are met in WAV files, in lower case. */
const knownChunks = new Set(
  "acid,afan,afsp,axml,bext,bxml,cart,chna,cue ,data,dbmd,dgda,disp,ds64,fact,fllr,fmt ,id3 ,inst,ixml,junk,levl,lgwv,link,list,md5 ,mext,minf,note,pad ,peak,plst,qlty,r64m,regn,slnt,smed,smpl,strc,sxml,umid,wavl,xtra,_pmx".split(
    ","
  )
)

const latin = (view: DataView, from = 0, length = view.byteLength): string => {
  const end = Math.min(view.byteLength, from + length)
  let text = ""
  for (let at = from; at < end; at++) text += String.fromCharCode(view.getUint8(at))
  return text
}

/** How much bytes look like the head of a chunk: 2, by a name that is known; 1, by a printable name and a size that fits; 0. */
const likeness = (view: DataView, at: number, rest: number): 0 | 1 | 2 => {
  if (view.byteLength < at + chunkHead) return 0
  const name = latin(view, at, 4)
  if (knownChunks.has(name.toLowerCase())) return 2
  return /^\w[ -~]{3}$/.test(name) && view.getUint32(at + 4, true) <= rest - at - chunkHead ? 1 : 0
}

const formatOf = (view: DataView): Format => {
  const coding = view.getUint16(8, true)
  return {
    coding: coding === extensible && view.byteLength >= 34 ? view.getUint16(32, true) : coding,
    channels: view.getUint16(10, true),
    sampleRate: view.getUint32(12, true),
    bits: view.getUint16(22, true)
  }
}

const isSupported = ({ bits, channels, coding, sampleRate }: Format): boolean =>
  coding === pcm &&
  bits === 8 * bytesPerSample &&
  channels >= 1 &&
  channels <= mostChannels &&
  sampleRate >= leastRate &&
  sampleRate <= mostRate

const describe = ({ bits, channels, coding, sampleRate }: Format): string =>
  `a WAV file with ${bits}-bit ${codings[coding] ?? `coding ${coding}`}, ${channels} ${channels === 1 ? "channel" : "channels"}, ${sampleRate} Hz`

const withoutAudio: Unsupported = { found: "a WAV file without audio" }

/** The bytes of an ID3v2 tag (id3.org, 2.4.0, section 3.1): a size of 4 × 7 bits, without its head and foot. */
const tagSize = (view: DataView): number => {
  let size = 0
  for (let at = 6; at < 10; at++) size = size * 128 + (view.getUint8(at) & 127)
  return size + ((view.getUint8(5) & 16) === 0 ? 10 : 20)
}

class Reading {
  /** Offset in the file. */
  at = 0
  readonly fileSize: number | undefined

  constructor(fileSize: number | undefined) {
    this.fileSize = fileSize
  }

  /** Bytes from here to the end of the file; any number of them when that is not known. */
  get rest(): number {
    return this.fileSize === undefined ? 0x7fff_ffff : this.fileSize - this.at
  }

  *peek(skip: number, peek: number): Generator<Ask, DataView, Uint8Array> {
    this.at += skip
    const bytes = yield { skip, peek }
    return new DataView(bytes.buffer, bytes.byteOffset, Math.min(peek, bytes.byteLength))
  }

  /** Moves past ID3 tags to the RIFF header; its name, or what the file is instead. */
  *riff(): Generator<Ask, Unsupported | undefined, Uint8Array> {
    const first = yield* this.peek(0, 12)
    let head = first
    for (let tags = 0; tags < maxTags && head.byteLength >= 10 && latin(head, 0, 3) === "ID3"; tags++) {
      head = yield* this.peek(tagSize(head), 12)
    }
    if (/^(RIFF|RF64|BW64)....WAVE/s.test(latin(head))) return undefined
    const text = latin(first)
    return { found: signatures.find(([at, bytes]) => text.startsWith(bytes, at))?.[2] ?? "not a WAV file" }
  }

  /** How much to move on from the end of a chunk to the next one: some writers leave the pad byte of odd ones out. */
  *padding(size: number): Generator<Ask, number, Uint8Array> {
    if (size % 2 === 0) return chunkHead + size
    const view = yield* this.peek(chunkHead + size, chunkHead + 1)
    return likeness(view, 0, this.rest) > likeness(view, 1, this.rest) ? 0 : 1
  }

  /** Whether what follows `size` bytes of audio is a chunk. */
  *isChunkAfter(size: number): Generator<Ask, boolean, Uint8Array> {
    const view = yield* this.peek(size, chunkHead)
    const isChunk = view.byteLength === 0 || likeness(view, 0, this.rest) > 0
    yield* this.peek(-size, 0)
    return isChunk
  }
}

/** Sizes that a `data` chunk may have: `undefined` for all that follows; "empty" when what follows are other chunks. */
function* audioBytes(
  reading: Reading,
  size: number,
  long: number | undefined,
  next: DataView
): Generator<Ask, Pick<Audio, "bytes" | "isUnfinished"> | "empty", Uint8Array> {
  const said = size === elsewhere ? (long ?? elsewhere) : size
  if (said === elsewhere || said > Number.MAX_SAFE_INTEGER) return { bytes: undefined, isUnfinished: false }
  if (said === 0) return likeness(next, 0, reading.rest) > 0 ? "empty" : { bytes: undefined, isUnfinished: true }
  if (!isPlaceholder(said)) return { bytes: said, isUnfinished: false }
  const isTrue = reading.fileSize !== undefined && reading.rest >= said && (yield* reading.isChunkAfter(said))
  return { bytes: isTrue ? said : undefined, isUnfinished: false }
}

/**
 * Reads the head of a file of this size, undefined for a stream. It is given the bytes that it asks for, fewer only at the
 * end of the file, and asks for at most some 50 at a time.
 */
export function* read(fileSize: number | undefined): Generator<Ask, Audio | Unsupported, Uint8Array> {
  const reading = new Reading(fileSize)
  const wrong = yield* reading.riff()
  if (wrong !== undefined) return wrong
  let format: Format | undefined
  let long: number | undefined
  let skip = 12
  for (let count = 0; count < maxChunks; count++) {
    const chunk = yield* reading.peek(skip, chunkHead + formatBytes)
    if (chunk.byteLength < chunkHead) break
    const name = latin(chunk, 0, 4)
    const size = chunk.getUint32(4, true)
    if (name === "ds64" && chunk.byteLength >= 24) long = Number(chunk.getBigUint64(16, true))
    if (name === "fmt ") {
      if (chunk.byteLength < chunkHead + 16) return { found: "a WAV file that is cut in its header" }
      format = formatOf(chunk)
    }
    if (name !== "data") {
      skip = yield* reading.padding(size)
      continue
    }
    if (format === undefined) return { found: "a WAV file without a format before its data" }
    if (!isSupported(format)) return { found: describe(format) }
    const next = yield* reading.peek(chunkHead, Math.max(chunkHead, bytesPerSample * format.channels))
    const extent = yield* audioBytes(reading, size, long, next)
    skip = 0
    if (extent === "empty") continue
    const { channels, sampleRate } = format
    const there = Math.min(extent.bytes ?? next.byteLength, next.byteLength)
    return there < bytesPerSample * channels ? withoutAudio : { channels, sampleRate, ...extent }
  }
  return withoutAudio
}

/** Bytes of one sample of every channel. */
export function frameBytes({ channels }: Pick<Audio, "channels">): number {
  return bytesPerSample * channels
}

/** Whole samples in `there` bytes of audio and what follows it, and how many more the header promises. */
export function extent(audio: Audio, there: number) {
  const promised = audio.bytes ?? there
  const samples = Math.floor(Math.min(promised, there) / frameBytes(audio))
  return { samples, missing: Math.floor(promised / frameBytes(audio)) - samples }
}

/** The mean of the channels of whole samples, as PCM16. One channel is handed back as it is. */
export function toMono(bytes: Uint8Array, channels: number): Uint8Array {
  if (channels === 1) return bytes
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const samples = Math.floor(bytes.byteLength / (bytesPerSample * channels))
  const mixed = new DataView(new ArrayBuffer(bytesPerSample * samples))
  for (let sample = 0; sample < samples; sample++) {
    let sum = 0
    for (let channel = 0; channel < channels; channel++) {
      sum += view.getInt16(bytesPerSample * (sample * channels + channel), true)
    }
    mixed.setInt16(bytesPerSample * sample, Math.round(sum / channels), true)
  }
  return new Uint8Array(mixed.buffer)
}
