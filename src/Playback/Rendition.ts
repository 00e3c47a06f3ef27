/** A snapshot of an audio file in one format: its size, its entity tag and any range of its bytes. */
import { Array as Arr, Effect, Option, Pull, type Scope, Stream } from "effect"
import { createHash } from "node:crypto"
import { Span, Wav } from "../Audio.ts"
import type { DbError } from "../Db.ts"
import {
  type AudioFileChanged,
  type Chunk,
  ChunkUnreadable,
  type ReadError,
  type RecordedFile,
  type Recording
} from "../Recording.ts"
import type { ObjectNotFound } from "../Storage.ts"
import { AudioMissing, AudioUnreadable } from "./AudioUnreadable.ts"

type Read = Recording["Service"]["read"]
type Failure = AudioFileChanged | AudioMissing | AudioUnreadable | Exclude<ReadError, ChunkUnreadable | ObjectNotFound>

export interface Rendition {
  readonly file: RecordedFile
  readonly format: Wav.Format
  readonly size: number
  /** Strong entity tag with quotes (RFC 9110, section 8.8.3). */
  readonly etag: string
  /** Fails at the first chunk that can't be read, and logs its key. Holds one piece of the store's read size in memory. */
  bytes(range: Wav.Range): Stream.Stream<Uint8Array, Failure>
  /** Succeeds when the first piece has been read, so that a failure is known before the response. The scope closes the reads. */
  begin(range: Wav.Range): Effect.Effect<Stream.Stream<Uint8Array, Failure>, Failure, Scope.Scope>
}

/** Shared by all silence. Never written to. */
const zeros = new Uint8Array(64 * 1024)

const silence = (length: number): Stream.Stream<Uint8Array> =>
  Stream.unfold(length, (left) =>
    Effect.succeed(
      left > 0 ? ([zeros.subarray(0, Math.min(left, zeros.length)), left - zeros.length] as const) : undefined
    )
  )

/** Fails if the chunk has fewer bytes than its span, which would shift all later audio. */
const exactly = (read: Read, chunk: Chunk, range: Wav.Range) =>
  Stream.suspend(() => {
    let missing = range.end - range.start
    const span = { conversation: chunk.conversation, start: chunk.start, end: Span.end(chunk) }
    // Rechunked, because an array of several buffers would be copied into one before it is sent.
    const counted = Stream.map(Stream.rechunk(read(chunk, range), 1), (bytes) => {
      missing -= bytes.length
      return bytes
    })
    const check = Stream.suspend(() => {
      if (missing === 0) return Stream.empty
      const { conversation, key, uid } = chunk
      const cause = new Error(`${missing} of ${range.end - range.start} bytes are missing`)
      return Stream.fail(new ChunkUnreadable({ uid, conversation, key, cause }))
    })
    return Stream.concat(counted, check).pipe(
      Stream.tapError((error) =>
        Effect.logError("a chunk can't be read, the response fails", error).pipe(
          Effect.annotateLogs({ uid: chunk.uid, conversation: chunk.conversation, chunk: chunk.id, key: chunk.key })
        )
      ),
      Stream.catchTags({
        ChunkUnreadable: (cause) => Stream.fail(new AudioUnreadable({ ...span, cause })),
        ObjectNotFound: (cause) => Stream.fail(new AudioMissing({ ...span, cause }))
      })
    )
  })

const fingerprint = (file: RecordedFile, format: Wav.Format): string => {
  const { capturedSamples, id, lostSamples, sampleRate, samples, version } = file
  return createHash("sha256")
    .update([format, id, sampleRate, samples, capturedSamples, lostSamples, version].join(" "))
    .digest("base64url")
}

/** Reads at least `least` bytes ahead, and releases them piece by piece. */
const readAhead = Effect.fnUntraced(function* <E>(bytes: Stream.Stream<Uint8Array, E>, least: number) {
  const pull = yield* Stream.toPull(bytes)
  const pieces: Array<Uint8Array> = []
  let missing = least
  const some = Effect.map(pull, (read) => {
    pieces.push(...read)
    for (const { length } of read) missing -= length
  }).pipe(Pull.catchDone(() => Effect.sync(() => void (missing = 0))))
  yield* Effect.whileLoop({ while: () => missing > 0, body: () => some, step: () => {} })
  const next = Effect.suspend(() => {
    const piece = pieces.shift()
    return piece === undefined ? pull : Effect.succeed(Arr.of(piece))
  })
  return Stream.fromPull(Effect.succeed(next))
})

/** The rest would not match the bytes that were sent. */
const logChange = (error: AudioFileChanged | DbError) =>
  error._tag === "AudioFileChanged"
    ? Effect.annotateLogs(Effect.logWarning("an audio file changed while it was sent, the response is cut"), {
        uid: error.uid,
        conversation: error.conversation,
        file: error.file
      })
    : Effect.void

const nextByte = (byte: number, end: number) => (byte < end ? Option.some(byte) : Option.none())

export function make(read: Read, file: RecordedFile, format: Wav.Format): Rendition {
  const size = Wav.size(file, format)
  const lead = size - Wav.size(file, "pcm")
  /** Reads a page of pieces when the previous page has been sent. */
  const sound = ({ end, start }: Wav.Range) =>
    Stream.paginate(start, (at) =>
      Effect.gen(function* () {
        const first = Math.floor(at / Wav.bytesPerSample)
        const page = yield* Effect.tapError(file.pieces(first, Math.ceil(end / Wav.bytesPerSample)), logChange)
        const until = Math.min(end, page.end * Wav.bytesPerSample)
        return [[...Wav.segmentsOf(page.pieces, { start: at, end: until })], nextByte(until, end)] as const
      })
    ).pipe(
      Stream.rechunk(1),
      Stream.flatMap((segment) =>
        segment._tag === "Silence" ? silence(segment.length) : exactly(read, segment.chunk, segment)
      )
    )
  const bytes = (range: Wav.Range) => {
    const parts = Wav.split(file, format, range)
    const audio = parts.sound.start < parts.sound.end ? sound(parts.sound) : Stream.empty
    return parts.header.length > 0 ? Stream.concat(Stream.succeed(parts.header), audio) : audio
  }
  return {
    file,
    format,
    size,
    etag: `"${fingerprint(file, format)}"`,
    bytes,
    begin: (range) => readAhead(bytes(range), Math.min(range.end, Math.max(range.start, lead) + 1) - range.start)
  }
}
