/** A snapshot of an audio file in one format: its size, its entity tag and any range of its bytes. */
import { Effect, Exit, Option, Result, type Scope, Stream } from "effect"
import { Span, Wav } from "../../Audio.ts"
import type { DbError } from "../../Db.ts"
import type { CodecFailed } from "../../Opus.ts"
import {
  type AudioFileChanged,
  type Chunk,
  type ChunkUnreadable,
  type ReadError,
  type RecordedFile,
  type Recording
} from "../../Recording.ts"
import type { ObjectNotFound } from "../../Storage.ts"
import { AudioMissing, AudioUnreadable } from "./AudioUnreadable.ts"
import * as PieceStream from "./PieceStream.ts"

type Audio = Pick<Recording["Service"], "read" | "piece">
export type RenditionFailure =
  | AudioFileChanged
  | AudioMissing
  | AudioUnreadable
  | CodecFailed
  | Exclude<ReadError, ChunkUnreadable | ObjectNotFound>

/** `ogg`: Opus in Ogg. */
export type Format = Wav.Format | "ogg"

export const contentTypes = {
  wav: "audio/wav",
  pcm: "application/octet-stream",
  ogg: "audio/ogg; codecs=opus",
  zip: "application/zip"
} as const

export interface Rendition<E = RenditionFailure, ETag extends string | undefined = string> {
  readonly file: RecordedFile
  readonly format: keyof typeof contentTypes
  /** Undefined if it is known only at the end; then only `0` to `Infinity` can be read. */
  readonly size: number | undefined
  /** With quotes. Undefined if the bytes are known only at the end. */
  readonly etag: ETag
  /**
   * Succeeds when the first piece of audio in the range has been read, so that a failure is known before the response
   * begins. Fails at the first chunk that can't be read and logs its key; it is never replaced by silence. A piece is at
   * most of the store's read size. The scope closes the reads.
   */
  begin(range: Wav.Range): Effect.Effect<PieceStream.Begun<E>, E, Scope.Scope>
  /**
   * Reads all of a short range. Undefined if that needs a query, many reads, or chunks that are not stored. After
   * a failure, `begin` fails with the reason.
   */
  readWhole?(range: Wav.Range): Effect.Effect<PieceStream.Pieces, unknown> | undefined
}

/** Shared by all silence. Never written to. */
const zeros = new Uint8Array(64 * 1024)

const silence = (length: number): Stream.Stream<Uint8Array> =>
  Stream.unfold(length, (left) =>
    Effect.succeed(
      left > 0 ? ([zeros.subarray(0, Math.min(left, zeros.length)), left - zeros.length] as const) : undefined
    )
  )

const logUnreadable = (chunk: Chunk) => (error: ReadError) =>
  Effect.logError("a chunk can't be read, the response fails", error).pipe(
    Effect.annotateLogs({ uid: chunk.uid, conversation: chunk.conversation, chunk: chunk.id, key: chunk.key })
  )

const failures = (chunk: Chunk) => {
  const span = { conversation: chunk.conversation, start: chunk.start, end: Span.end(chunk) }
  return {
    unreadable: (cause: ChunkUnreadable) => new AudioUnreadable({ ...span, cause }),
    missing: (cause: ObjectNotFound) => new AudioMissing({ ...span, cause })
  }
}

const readOf = ({ read }: Audio, chunk: Chunk, range: Wav.Range) => {
  const { missing, unreadable } = failures(chunk)
  return read(chunk, range).pipe(
    Stream.tapError(logUnreadable(chunk)),
    Stream.catchTags({
      ChunkUnreadable: (cause) => Stream.fail(unreadable(cause)),
      ObjectNotFound: (cause) => Stream.fail(missing(cause))
    })
  )
}

const explain = Effect.fnUntraced(function* (
  chunk: Chunk,
  error: ReadError
): Effect.fn.Return<never, RenditionFailure> {
  const { missing, unreadable } = failures(chunk)
  yield* logUnreadable(chunk)(error)
  if (error._tag === "ChunkUnreadable") return yield* unreadable(error)
  if (error._tag === "ObjectNotFound") return yield* missing(error)
  return yield* Effect.fail(error)
})

/** Logs a chunk that can't be read, and says which audio it is. */
export function explained(chunk: Chunk) {
  return <A>(read: Effect.Effect<A, ReadError>): Effect.Effect<A, RenditionFailure> =>
    Effect.catch(read, (error) => explain(chunk, error))
}

/** Strong entity tag with quotes (RFC 9110, section 8.8.3): what the bytes depend on. */
export function etagOf({ capturedSamples, id, lostSamples, samples, version }: RecordedFile, format: Format): string {
  return `"${[format, id, samples, capturedSamples, lostSamples, version].join("-")}"`
}

/** The rest would not match the bytes that were sent. */
export function logChange(error: AudioFileChanged | DbError): Effect.Effect<void> {
  if (error._tag !== "AudioFileChanged") return Effect.void
  const { conversation, file, uid } = error
  const line = Effect.logWarning("an audio file changed while it was sent, the response is cut")
  return Effect.annotateLogs(line, { uid, conversation, file })
}

const isExit = <A, E>(effect: Effect.Effect<A, E>): effect is Exit.Exit<A, E> => Exit.isExit(effect)

/** The value of an effect that is a successful exit already. */
export function resultOf<A, E>(effect: Effect.Effect<A, E>): A | undefined {
  return isExit(effect) && Exit.isSuccess(effect) ? effect.value : undefined
}

const nextByte = (byte: number, end: number) => (byte < end ? Option.some(byte) : Option.none())

/** Ranges up to this size are read before the response begins, and sent at once. */
export const atOnceBytes = 256 * 1024

/** Chunks and gaps that are read before the response begins; reads of more, one after the other, could last too long. */
const partsAtOnce = 16

const noMore = Effect.succeed(undefined)

interface Source {
  readonly split: (range: Wav.Range) => ReturnType<typeof Wav.split>
  /** The parts of a page, and where it ends. */
  readonly readParts: (
    range: Wav.Range
  ) => Effect.Effect<{ readonly until: number; readonly parts: ReadonlyArray<Wav.Part<Chunk>> }, RenditionFailure>
  readonly pieceOf: (part: Wav.Part<Chunk>) => Effect.Effect<Uint8Array, RenditionFailure>
  readonly sounding: (range: Wav.Range) => Stream.Stream<PieceStream.Pieces, RenditionFailure>
}

/** Small ranges, whose pages are known, take one step for each read. */
const allAtOnce = Effect.fnUntracedEager(function* (
  { pieceOf, readParts, sounding, split }: Source,
  range: Wav.Range
): Effect.fn.Return<PieceStream.Begun<RenditionFailure>, RenditionFailure, Scope.Scope> {
  const { header, sound } = split(range)
  const first: Array<Uint8Array> = header.length > 0 ? [header] : []
  let count = 0
  for (let at = sound.start; at < sound.end;) {
    const { parts, until } = yield* readParts({ start: at, end: sound.end })
    for (const part of parts) {
      if (++count > partsAtOnce)
        return { first, next: (yield* PieceStream.begin(sounding({ ...sound, start: at }))).next }
      const read = yield* Effect.result(pieceOf(part))
      if (Result.isSuccess(read)) first.push(read.success)
      // What comes before is heard.
      else if (at > sound.start) return { first, next: Effect.fail(read.failure) }
      else return yield* Effect.fail(read.failure)
      at += read.success.length
    }
    at = until
  }
  return { first, next: noMore }
})

export function make(audio: Audio, file: RecordedFile, format: Wav.Format): Rendition {
  const size = Wav.size(file, format)
  const headerSize = size - Wav.size(file, "pcm")
  const pageAt = (at: number, end: number) => {
    const first = Math.floor(at / Wav.bytesPerSample)
    return Effect.catchEager(file.pieces(first, Math.ceil(end / Wav.bytesPerSample)), (error) =>
      Effect.andThen(logChange(error), Effect.fail(error))
    )
  }
  const readParts = (range: Wav.Range) =>
    Effect.mapEager(pageAt(range.start, range.end), (page) => {
      const until = Math.min(range.end, page.end * Wav.bytesPerSample)
      return { until, parts: [...Wav.partsOf(page.pieces, { start: range.start, end: until })] }
    })
  /** Reads a page of pieces when the previous page has been sent. */
  const sounding = ({ end, start }: Wav.Range) =>
    Stream.paginate(start, (at) =>
      Effect.map(readParts({ start: at, end }), ({ parts, until }) => [parts, nextByte(until, end)] as const)
    ).pipe(
      Stream.rechunk(1),
      Stream.flatMap((part) => (part._tag === "Silence" ? silence(part.length) : readOf(audio, part.chunk, part))),
      Stream.map((bytes) => [bytes])
    )
  const pieces = (range: Wav.Range) => {
    const parts = Wav.split(file, format, range)
    const audible = parts.sound.start < parts.sound.end ? sounding(parts.sound) : Stream.empty
    return parts.header.length > 0 ? Stream.concat(Stream.succeed([parts.header]), audible) : audible
  }
  const silent = ({ length }: { readonly length: number }) => Effect.succeed(new Uint8Array(length))
  const pieceOf = (part: Wav.Part<Chunk>) =>
    part._tag === "Silence" ? silent(part) : explained(part.chunk)(audio.piece(part.chunk, part))
  const readWhole = (range: Wav.Range) => {
    if (range.end > size || range.end - range.start > atOnceBytes) return undefined
    const { header, sound } = Wav.split(file, format, range)
    const read = resultOf(readParts(sound))
    if (read?.until !== sound.end || read.parts.length > partsAtOnce) return undefined
    if (read.parts.some((part) => part._tag === "Chunk" && part.chunk.state !== "stored")) return undefined
    const all = Effect.forEach(read.parts, (part) =>
      part._tag === "Silence" ? silent(part) : audio.piece(part.chunk, part)
    )
    return header.length > 0 ? Effect.map(all, (pieces) => [header, ...pieces]) : all
  }
  const source = { split: (range: Wav.Range) => Wav.split(file, format, range), readParts, pieceOf, sounding }
  return {
    file,
    format,
    size,
    etag: etagOf(file, format),
    readWhole,
    begin: (range) =>
      range.end - range.start <= atOnceBytes
        ? allAtOnce(source, range)
        : PieceStream.begin(pieces(range), Math.min(range.end, Math.max(range.start, headerSize) + 1) - range.start)
  }
}
