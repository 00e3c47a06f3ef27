/**
 * Locates and describes the audio of a WAV file: RIFF, RF64 (EBU Tech 3306) and BW64 (ITU-R BS.2088), with the errors
 * of common writers. Shared by the command line and the page: it uses neither Node nor the DOM, and requests bytes by
 * yielding.
 */

/** A request for `peek` bytes after moving `skip` bytes. `skip` is negative only if the file's size is known. */
export interface ReadRequest {
  readonly skip: number
  readonly peek: number
}

interface Format {
  readonly coding: number
  readonly channels: number
  readonly sampleRate: number
  readonly bits: number
}

/** 16-bit PCM audio. Its first byte is at the position of the last request. */
export interface Audio {
  readonly channels: number
  readonly sampleRate: number
  /** Size that the header announces; undefined if it has none, and everything after it is audio. */
  readonly bytes: number | undefined
  /** The header's sizes were never filled in. */
  readonly isUnfinished: boolean
}

/** The file holds no audio that can be read. `found` describes what it is: "an MP3 file". */
export interface Unsupported {
  readonly found: string
}

const pcm = 1
const extensible = 0xfffe
const bytesPerSample = 2
const leastRate = 8_000
const maxRate = 48_000
const maxChannels = 8
/** Files with more chunks, or more ID3 tags, are unsupported. */
const maxChunks = 1_000
const maxTags = 16

/** Bytes of a chunk's header, and of its longest format. */
const chunkHead = 8
const formatBytes = 40
/** Placeholder for a size in the `ds64` chunk, or for one unknown to a writer to a pipe. */
const elsewhere = 0xffff_ffff

/** sox, arecord and others write about 2 GiB for an unknown size. */
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

/** Signatures of other file formats: offset, text, description. */
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

/** How likely a chunk header starts at `at`: 2 for a known id, 1 for a printable id with a plausible size, else 0. */
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
  channels <= maxChannels &&
  sampleRate >= leastRate &&
  sampleRate <= maxRate

const describe = ({ bits, channels, coding, sampleRate }: Format): string =>
  `a WAV file with ${bits}-bit ${codings[coding] ?? `coding ${coding}`}, ${channels} ${channels === 1 ? "channel" : "channels"}, ${sampleRate} Hz`

const withoutAudio: Unsupported = { found: "a WAV file without audio" }

/** Bytes of an ID3v2 tag (id3.org, 2.4.0, section 3.1). Its size field of 4 × 7 bits excludes header and footer. */
const tagSize = (view: DataView): number => {
  let size = 0
  for (let at = 6; at < 10; at++) size = size * 128 + (view.getUint8(at) & 127)
  return size + ((view.getUint8(5) & 16) === 0 ? 10 : 20)
}

class Reading {
  at = 0
  readonly fileSize: number | undefined

  constructor(fileSize: number | undefined) {
    this.fileSize = fileSize
  }

  /** Bytes to the end of the file; a large number when its size is unknown. */
  get rest(): number {
    return this.fileSize === undefined ? 0x7fff_ffff : this.fileSize - this.at
  }

  *peek(skip: number, peek: number): Generator<ReadRequest, DataView, Uint8Array> {
    this.at += skip
    const bytes = yield { skip, peek }
    return new DataView(bytes.buffer, bytes.byteOffset, Math.min(peek, bytes.byteLength))
  }

  /** Skips ID3 tags and reads the RIFF header. Returns what the file is if it is no WAV file. */
  *riff(): Generator<ReadRequest, Unsupported | undefined, Uint8Array> {
    const first = yield* this.peek(0, 12)
    let head = first
    for (let tags = 0; tags < maxTags && head.byteLength >= 10 && latin(head, 0, 3) === "ID3"; tags++) {
      head = yield* this.peek(tagSize(head), 12)
    }
    if (/^(RIFF|RF64|BW64)....WAVE/s.test(latin(head))) return undefined
    const text = latin(first)
    return { found: signatures.find(([at, bytes]) => text.startsWith(bytes, at))?.[2] ?? "not a WAV file" }
  }

  /** Distance to the next chunk. Some writers omit the pad byte of chunks with odd sizes. */
  *padding(size: number): Generator<ReadRequest, number, Uint8Array> {
    if (size % 2 === 0) return chunkHead + size
    const view = yield* this.peek(chunkHead + size, chunkHead + 1)
    return likeness(view, 0, this.rest) > likeness(view, 1, this.rest) ? 0 : 1
  }

  *isChunkAfter(size: number): Generator<ReadRequest, boolean, Uint8Array> {
    const view = yield* this.peek(size, chunkHead)
    const isChunk = view.byteLength === 0 || likeness(view, 0, this.rest) > 0
    yield* this.peek(-size, 0)
    return isChunk
  }
}

/** Audio bytes in a `data` chunk: undefined for the rest of the file, "empty" if other chunks follow directly. */
function* audioBytes(
  reading: Reading,
  size: number,
  long: number | undefined,
  next: DataView
): Generator<ReadRequest, Pick<Audio, "bytes" | "isUnfinished"> | "empty", Uint8Array> {
  const said = size === elsewhere ? (long ?? elsewhere) : size
  if (said === elsewhere || said > Number.MAX_SAFE_INTEGER) return { bytes: undefined, isUnfinished: false }
  if (said === 0) return likeness(next, 0, reading.rest) > 0 ? "empty" : { bytes: undefined, isUnfinished: true }
  if (!isPlaceholder(said)) return { bytes: said, isUnfinished: false }
  const isTrue = reading.fileSize !== undefined && reading.rest >= said && (yield* reading.isChunkAfter(said))
  return { bytes: isTrue ? said : undefined, isUnfinished: false }
}

/** Reads the headers; no `fileSize` for a stream. Requests about 50 bytes, and gets fewer only at the end of the file. */
export function* read(fileSize: number | undefined): Generator<ReadRequest, Audio | Unsupported, Uint8Array> {
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

/** Bytes of one sample of all channels. */
export function frameBytes({ channels }: Pick<Audio, "channels">): number {
  return bytesPerSample * channels
}

/** Whole samples in the first `there` bytes after the header, and how many the header announces beyond them. */
export function extent(audio: Audio, there: number) {
  const promised = audio.bytes ?? there
  const samples = Math.floor(Math.min(promised, there) / frameBytes(audio))
  return { samples, missing: Math.floor(promised / frameBytes(audio)) - samples }
}

/** Mixes the channels to their mean, as PCM16. `bytes` holds whole samples; mono is returned unchanged. */
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
