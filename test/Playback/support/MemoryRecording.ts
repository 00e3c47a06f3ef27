/** Recordings in memory, with chunks that can be made unreadable, and a count of the bytes read. */
import { DateTime, Effect, Layer, Option, Stream } from "effect"
import { Peaks, Timeline } from "../../../src/Audio.ts"
import {
  type Chunk,
  ChunkUnreadable,
  type Conversation,
  type WaveformSpan,
  type ReadError,
  type RecordedFile,
  Recording,
  type WaveformData
} from "../../../src/Recording.ts"
import { DbUnavailable } from "../../../src/Db.ts"
import { spoken } from "../../Audio/support/Cuts.ts"

export const rate = 16_000
export const t0 = 1_700_000_000

interface Kept {
  readonly uid: string
  readonly id: string
  readonly finishedAt: Option.Option<Date>
  readonly live: boolean
  readonly clockShifts: number
  readonly createdAt: Date
  readonly chunks: ReadonlyArray<Chunk>
}

const pieceSize = 64 * 1024

/** Yields to the event loop, as reads from a disk or a socket do. */
const nextTurn = Effect.callback<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

/** With pages of two pieces. */
const recordedOf = (file: Timeline.AudioFile<Chunk> & { readonly id: string }, version: string): RecordedFile => ({
  ...file,
  version,
  pieces: (from, to) => {
    const all = file.pieces.filter(({ offset, samples }) => offset < to && offset + samples > from)
    return Effect.succeed({ pieces: all.slice(0, 2), end: all[2]?.offset ?? to })
  }
})

export class MemoryRecording {
  /** Newest first. */
  readonly kept: Array<Kept> = []
  readonly unreadable = new Set<string>()
  /** Chunks whose last bytes are missing. */
  readonly short = new Set<string>()
  /** The result of reading a chunk, instead of its audio. */
  readonly instead = new Map<string, Effect.Effect<never, ReadError>>()
  /** Bytes returned. */
  bytesRead = 0
  /** A read was closed before its end. */
  onAbandoned: Effect.Effect<unknown> = Effect.void
  /** The audio of a chunk depends only on its start. */
  sound: (chunk: Chunk) => Uint8Array = MemoryRecording.pcm
  /** Of Opus chunks, by their id. */
  readonly packets = new Map<string, ReadonlyArray<Uint8Array>>()
  databaseDown = false
  /** Of all audio files. */
  version = "0"
  /** Snapshots of growing files that were taken. */
  snapshots = 0

  put(id: string, chunks: ReadonlyArray<Partial<Chunk>>, more: Partial<Kept> = {}): void {
    const uid = more.uid ?? "ada"
    const all = chunks.map((chunk, index): Chunk => {
      const start = chunk.start ?? t0 + index
      return {
        id: `${uid}-${id}-${index}`,
        uid,
        conversation: id,
        start,
        samples: rate,
        sampleRate: rate,
        codec: "pcm16",
        state: "stored",
        key: `chunks/${uid}/${id}/${start.toFixed(3)}.batch.bin`,
        ...chunk
      }
    })
    const old = this.kept.findIndex((each) => each.uid === uid && each.id === id)
    if (old >= 0) this.kept.splice(old, 1)
    const createdAt = DateTime.toDate(DateTime.makeUnsafe(0))
    const none = { finishedAt: Option.none(), live: false, clockShifts: 0, createdAt }
    this.kept.unshift({ uid, id, ...none, ...more, chunks: all })
  }

  static pcm(chunk: Pick<Chunk, "start" | "samples">): Buffer {
    return spoken(Math.round((chunk.start - t0) * rate), chunk.samples)
  }

  /** Known at once. */
  get #now(): Effect.Effect<ReadonlyArray<Kept>, DbUnavailable> {
    return this.databaseDown
      ? Effect.fail(new DbUnavailable({ operation: "test", attempts: 1, cause: new Error("down") }))
      : Effect.succeed(this.kept)
  }

  readonly #all = Effect.suspend(() => this.#now)

  #find(uid: string, id: string, all = this.#all) {
    return Effect.mapEager(all, (all) => Option.fromNullishOr(all.find((each) => each.uid === uid && each.id === id)))
  }

  /** The latest audio files. The cursor is the start of the first one. */
  static #conversation(
    { chunks, ...kept }: Kept,
    { before, files }: { readonly before?: string; readonly files: number }
  ) {
    const all = Timeline.layout(chunks).map((file) => ({ ...file, id: Timeline.fileId(kept.uid, kept.id, file) }))
    const end = all.filter(({ start }) => before === undefined || start < Number(before.split("_")[0])).length
    const first = Math.max(0, end - files)
    const secondsOf = (of: "capturedSamples" | "lostSamples") =>
      all.reduce((sum, file) => sum + file[of] / file.sampleRate, 0)
    const ends = all.map(({ sampleRate, samples, start }) => start + samples / sampleRate)
    const conversation: Conversation = {
      ...kept,
      span: all[0] === undefined ? undefined : { start: all[0].start, end: Math.max(...ends) },
      capturedSeconds: secondsOf("capturedSamples"),
      lostSeconds: secondsOf("lostSamples"),
      files: all.slice(first, end),
      filesNext: first > 0 ? `${all[first]?.start}_00000000-0000-0000-0000-000000000000` : undefined
    }
    return { conversation, files: all.slice(first, end) }
  }

  #waveform(kept: Kept, page: { readonly before?: string; readonly files: number }): WaveformData {
    const { conversation, files } = MemoryRecording.#conversation(kept, page)
    const isLive = ({ state }: Chunk) => state === "open" || state === "sealed"
    return {
      ...conversation,
      stored: files.map(({ pieces, samples }) => pieces.find(({ chunk }) => isLive(chunk))?.offset ?? samples),
      drawn: (pointSeconds) =>
        Stream.succeed(
          files.flatMap((file, index): ReadonlyArray<WaveformSpan> => {
            const next = files[index + 1]?.start ?? Infinity
            const lost = kept.chunks.filter(
              ({ start, state }) => state === "lost" && start >= file.start && start < next
            )
            return [
              ...file.pieces.map(({ chunk, ...piece }) => {
                const peaks = Peaks.peaksOf(this.sound(chunk), chunk.sampleRate)
                const drawn = pointSeconds > 60 ? peaks.slice(0, Peaks.pairBytes) : peaks
                return { ...piece, file: index, state: chunk.state, peaks: drawn }
              }),
              ...lost.map(({ samples, start, state }) => {
                const offset = Math.round((start - file.start) * file.sampleRate)
                return { file: index, state, offset, skip: 0, samples, peaks: undefined }
              })
            ]
          })
        )
    }
  }

  readonly #read = (chunk: Chunk, range: { readonly start: number; readonly end: number }) =>
    Stream.unwrap(
      Effect.gen({ self: this }, function* () {
        yield* nextTurn
        const instead = this.instead.get(chunk.id)
        if (instead !== undefined) return yield* instead
        if (this.unreadable.has(chunk.id)) {
          const { conversation, key, uid } = chunk
          return yield* new ChunkUnreadable({ uid, conversation, key, cause: new Error("gone") })
        }
        const last = chunk.samples * 2 - (this.short.has(chunk.id) ? 2 : 0)
        const bytes = this.sound(chunk).subarray(range.start, Math.min(range.end, last))
        let left = bytes.length
        const pieces = Array.from({ length: Math.ceil(left / pieceSize) }, (_, index) =>
          bytes.subarray(index * pieceSize, (index + 1) * pieceSize)
        )
        return Stream.fromIterable(pieces, { chunkSize: 1 }).pipe(
          Stream.map((piece) => {
            left -= piece.length
            this.bytesRead += piece.length
            return piece
          }),
          Stream.ensuring(Effect.suspend(() => (left > 0 ? this.onAbandoned : Effect.void)))
        )
      })
    )

  readonly layer = Layer.mock(Recording, {
    conversations: (uid, { before, files, limit }) =>
      Effect.map(this.#all, (all) => {
        const mine = all.filter((each) => each.uid === uid)
        const from = before === undefined ? 0 : mine.length - Number(before.slice(2))
        const next = from + limit < mine.length ? `0-${mine.length - from - limit}` : undefined
        const listed = mine.slice(from, from + limit)
        return {
          conversations: listed.map((each) => MemoryRecording.#conversation(each, { files }).conversation),
          next
        }
      }),
    conversation: (uid, id, page) =>
      Effect.map(
        this.#find(uid, id),
        Option.map((kept) => MemoryRecording.#conversation(kept, page).conversation)
      ),
    files: (uid, id, page) =>
      Effect.map(
        this.#find(uid, id),
        Option.map((kept) => {
          const { conversation, files } = MemoryRecording.#conversation(kept, page)
          return { ...conversation, files: files.map((file) => recordedOf(file, this.version)) }
        })
      ),
    file: (uid, id, file) =>
      Effect.mapEager(
        this.#find(uid, id, this.#now),
        Option.flatMap((kept) => {
          const { files } = MemoryRecording.#conversation(kept, { files: Infinity })
          return Option.map(Option.fromNullishOr(files.find((each) => each.id === file)), (found) =>
            recordedOf(found, this.version)
          )
        })
      ),
    growing: (uid, id, file) =>
      Effect.map(
        this.#find(uid, id),
        Option.flatMap((kept) => {
          this.snapshots++
          const { files } = MemoryRecording.#conversation(kept, { files: Infinity })
          const found = files.find((each) => each.id === file)
          const isLast = found === files.at(-1)
          return Option.map(Option.fromNullishOr(found), (found) => ({ file: recordedOf(found, this.version), isLast }))
        })
      ),
    progress: ({ conversation, uid }) =>
      Effect.sync(() => {
        const found = this.kept.find((each) => each.uid === uid && each.id === conversation)
        const ends = (found?.chunks ?? []).map((chunk) => chunk.start + chunk.samples / chunk.sampleRate)
        return { isGrowing: found?.live === true, end: Math.max(-Infinity, ...ends) }
      }),
    waveform: (uid, id, page) =>
      Effect.map(
        this.#find(uid, id),
        Option.map((kept) => this.#waveform(kept, page))
      ),
    read: (chunk, range) => this.#read(chunk, range),
    piece: (chunk, range) => Stream.mkUint8Array(this.#read(chunk, range)),
    packets: (chunk) => this.instead.get(chunk.id) ?? Effect.succeed(this.packets.get(chunk.id) ?? []),
    journal: () => ({ bytes: 0, failing: false, budget: 0, segments: 0 }),
    captures: () => [],
    uploads: () => ({ queued: 0, active: 0, limit: 0 })
  })
}
