/** WAV files, read in pieces: RIFF and RF64, PCM16 mono, other chunks skipped, a cut file read to its last whole sample. */
import { Effect, FileSystem, Option, Schema } from "effect"
import type { PlatformError, Scope } from "effect"

/** `found` says what the file is. */
export class UnsupportedWav extends Schema.TaggedError<UnsupportedWav>()("UnsupportedWav", {
  file: Schema.String,
  found: Schema.String
}) {
  override get message() {
    return `${this.file} is ${this.found}; what can be sent is a WAV file with 16-bit PCM, one channel, 8000 to 48000 Hz. Convert it: ffmpeg -i '${this.file.replaceAll("'", "'\\''")}' -ac 1 -ar 16000 -c:a pcm_s16le out.wav`
  }
}

/** The file can't be opened or read. */
export class UnreadableFile extends Schema.TaggedError<UnreadableFile>()("UnreadableFile", {
  file: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return this.reason === "NotFound"
      ? `There is no file ${this.file}.`
      : `${this.file} can't be read (${this.reason}).`
  }
}

/** `samples` is what is really in the file, at least one; `missing`, what its head promises beyond that. */
export interface Wav {
  readonly sampleRate: number
  readonly samples: number
  readonly missing: number
  /** Audio from sample `from` to sample `to`, `to` not included. */
  read(from: number, to: number): Effect.Effect<Uint8Array, UnreadableFile | UnsupportedWav>
}

interface Format {
  readonly tag: number
  readonly channels: number
  readonly sampleRate: number
  readonly bits: number
}

const PCM = 1
const EXTENSIBLE = 0xfffe
const BYTES_PER_SAMPLE = 2
/** Sizes of these values are elsewhere (RF64) or unknown (a writer that was killed): then audio is all that follows. */
const UNKNOWN = [0xffffffff, 0]
/** A `fmt ` chunk has 16, 18 or 40 bytes. */
const FORMAT_BYTES = 40
const MAX_CHUNKS = 1_000

const codings: Readonly<Record<number, string>> = { 2: "ADPCM", 3: "floating-point", 6: "A-law", 7: "µ-law", 85: "MP3" }

const describe = ({ bits, channels, sampleRate, tag }: Format) =>
  `a WAV file with ${bits}-bit ${tag === PCM ? "PCM" : (codings[tag] ?? `coding ${tag}`)}, ${channels} ${channels === 1 ? "channel" : "channels"}, ${sampleRate} Hz`

const formatOf = (bytes: DataView): Format => {
  const tag = bytes.getUint16(0, true)
  return {
    tag: tag === EXTENSIBLE && bytes.byteLength >= 26 ? bytes.getUint16(24, true) : tag,
    channels: bytes.getUint16(2, true),
    sampleRate: bytes.getUint32(4, true),
    bits: bytes.getUint16(14, true)
  }
}

const supported = ({ bits, channels, sampleRate, tag }: Format) =>
  tag === PCM && bits === 16 && channels === 1 && sampleRate >= 8000 && sampleRate <= 48_000

const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
const name = (bytes: Uint8Array) => new TextDecoder("latin1").decode(bytes)

/** The file stays open as long as the scope. */
export const open = Effect.fnUntraced(function* (
  file: string
): Effect.fn.Return<Wav, UnreadableFile | UnsupportedWav, FileSystem.FileSystem | Scope.Scope> {
  const fs = yield* FileSystem.FileSystem
  const unreadable = ({ reason }: PlatformError.PlatformError) => new UnreadableFile({ file, reason: reason._tag })
  const handle = yield* Effect.mapError(fs.open(file), unreadable)
  const fileSize = Number((yield* Effect.mapError(handle.stat, unreadable)).size)
  const unsupported = (found: string) => new UnsupportedWav({ file, found })

  /** At most `count` bytes, fewer only at the end of the file. */
  const bytesAt = Effect.fnUntraced(function* (offset: number, count: number) {
    const wanted = Math.max(0, Math.min(count, fileSize - offset))
    const bytes = new Uint8Array(wanted)
    yield* handle.seek(BigInt(offset), "start")
    let filled = 0
    while (filled < wanted) {
      const read = Number(yield* handle.read(bytes.subarray(filled)))
      if (read === 0) break
      filled += read
    }
    return bytes.subarray(0, filled)
  }, Effect.mapError(unreadable))

  const head = yield* bytesAt(0, 12)
  const riff = name(head.subarray(0, 4))
  if (head.length < 12 || (riff !== "RIFF" && riff !== "RF64") || name(head.subarray(8)) !== "WAVE") {
    return yield* unsupported("not a WAV file")
  }

  let format = Option.none<Format>()
  let longSize = Option.none<number>()
  let offset = 12
  for (let chunk = 0; chunk < MAX_CHUNKS; chunk++) {
    const chunkHead = yield* bytesAt(offset, 8)
    if (chunkHead.length < 8) break
    const id = name(chunkHead.subarray(0, 4))
    const size = view(chunkHead).getUint32(4, true)
    const start = offset + 8
    if (id === "ds64") {
      const body = yield* bytesAt(start, 16)
      if (body.length === 16) longSize = Option.some(Number(view(body).getBigUint64(8, true)))
    }
    if (id === "fmt ") {
      const body = yield* bytesAt(start, Math.min(size, FORMAT_BYTES))
      if (body.length < 16) return yield* unsupported("a WAV file that is cut in its header")
      format = Option.some(formatOf(view(body)))
    }
    if (id === "data") {
      if (Option.isNone(format)) return yield* unsupported("a WAV file without a format before its data")
      if (!supported(format.value)) return yield* unsupported(describe(format.value))
      const there = fileSize - start
      const declared = UNKNOWN.includes(size) ? Option.getOrElse(longSize, () => there) : size
      const samples = Math.floor(Math.min(declared, there) / BYTES_PER_SAMPLE)
      if (samples === 0) return yield* unsupported("a WAV file without audio")
      const { sampleRate } = format.value
      const read = (from: number, to: number) =>
        Effect.filterOrElse(
          bytesAt(start + from * BYTES_PER_SAMPLE, (to - from) * BYTES_PER_SAMPLE),
          (audio) => audio.length === (to - from) * BYTES_PER_SAMPLE,
          () => unsupported("shorter than it was when it was opened")
        )
      return { sampleRate, samples, missing: Math.floor(declared / BYTES_PER_SAMPLE) - samples, read }
    }
    offset = start + size + (size % 2)
  }
  return yield* unsupported("a WAV file without audio")
})
