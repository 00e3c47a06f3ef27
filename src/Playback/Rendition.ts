/** An audio file in one format, as it was at one moment: its size, its fingerprint, and any range of its bytes. */
import { Array as Arr, Effect, Pull, type Scope, Stream } from "effect"
import { createHash } from "node:crypto"
import { Span, type Timeline, Wav } from "../Audio.ts"
import { type Chunk, ChunkUnreadable, type ReadError, type Recording } from "../Recording.ts"
import type { ObjectNotFound } from "../Storage.ts"
import { AudioMissing, AudioUnreadable } from "./AudioUnreadable.ts"

type Read = Recording["Service"]["read"]
type Failure = AudioMissing | AudioUnreadable | Exclude<ReadError, ChunkUnreadable | ObjectNotFound>

export interface Rendition {
  readonly file: Timeline.AudioFile<Chunk>
  readonly format: Wav.Format
  /** In bytes. */
  readonly size: number
  /** A strong entity tag (RFC 9110, section 8.8.3), quotes included: other bytes have another one. */
  readonly etag: string
  /**
   * Fails at the first chunk that can't be read, and logs its key; never fills in for it. A piece of the store's size
   * is in memory at a time, and the next one is read when it is gone.
   */
  bytes(range: Wav.Range): Stream.Stream<Uint8Array, Failure>
  /**
   * The same bytes, when the first piece of audio among them has been read, so that what can't be read is known before
   * anything is sent. What is read and not taken is closed with the scope.
   */
  begin(range: Wav.Range): Effect.Effect<Stream.Stream<Uint8Array, Failure>, Failure, Scope.Scope>
}

/** All silence is made of this. Nobody writes to what is sent. */
const zeros = new Uint8Array(64 * 1024)

const silence = (length: number): Stream.Stream<Uint8Array> =>
  Stream.unfold(length, (left) =>
    Effect.succeed(
      left > 0 ? ([zeros.subarray(0, Math.min(left, zeros.length)), left - zeros.length] as const) : undefined
    )
  )

/** Fewer bytes than the span says would shift all that follows. */
const exactly = (read: Read, chunk: Chunk, range: Wav.Range) =>
  Stream.suspend(() => {
    let missing = range.end - range.start
    const span = { conversation: chunk.conversation, start: chunk.start, end: Span.end(chunk) }
    // Buffer by buffer: several that come as one array would be joined into a copy before they are sent.
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
        Effect.logError("a chunk can't be read, its listener does not get it", error).pipe(
          Effect.annotateLogs({ uid: chunk.uid, conversation: chunk.conversation, chunk: chunk.id, key: chunk.key })
        )
      ),
      Stream.catchTags({
        ChunkUnreadable: (cause) => Stream.fail(new AudioUnreadable({ ...span, cause })),
        ObjectNotFound: (cause) => Stream.fail(new AudioMissing({ ...span, cause }))
      })
    )
  })

const fingerprint = ({ pieces, sampleRate, samples }: Timeline.AudioFile<Chunk>, format: Wav.Format): string => {
  const parts = pieces.map(({ chunk, offset, skip, samples }) => `${chunk.id} ${offset} ${skip} ${samples}`)
  return createHash("sha256")
    .update([`${format} ${sampleRate} ${samples}`, ...parts].join("\n"))
    .digest("base64url")
}

/** `least`: bytes to read ahead. They are handed on piece by piece, and not kept. */
const ahead = Effect.fnUntraced(function* <E>(bytes: Stream.Stream<Uint8Array, E>, least: number) {
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

export const make = (read: Read, file: Timeline.AudioFile<Chunk>, format: Wav.Format): Rendition => {
  const size = Wav.size(file, format)
  const header = size - Wav.size(file, "pcm")
  const bytes = (range: Wav.Range) =>
    Stream.suspend(() => Stream.fromIterable(Wav.render(file, format, range), { chunkSize: 1 })).pipe(
      Stream.flatMap((segment) => {
        if (segment._tag === "Header") return Stream.succeed(segment.bytes)
        return segment._tag === "Silence" ? silence(segment.length) : exactly(read, segment.chunk, segment)
      })
    )
  return {
    file,
    format,
    size,
    etag: `"${fingerprint(file, format)}"`,
    bytes,
    begin: (range) => ahead(bytes(range), Math.min(range.end, Math.max(range.start, header) + 1) - range.start)
  }
}
