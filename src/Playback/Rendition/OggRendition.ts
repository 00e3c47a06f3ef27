/** An audio file as Ogg: PCM is encoded while it is sent, and Opus is sent with its packets as they were recorded. */
import { Effect, Option, Scope, Stream } from "effect"
import { OggOpus, OggStream, type Wav } from "../../Audio.ts"
import { whileSaturated } from "../../Bulkhead.ts"
import type { BoundedMap } from "../../BoundedMap.ts"
import { encodedFrom, type Opus } from "../../Opus.ts"
import type { RecordedFile, Recording } from "../../Recording.ts"
import { ReadBuffers } from "../../Storage.ts"
import * as PieceStream from "./PieceStream.ts"
import { explained, logChange, type Rendition, type RenditionFailure } from "./Rendition.ts"

/** Encoded blocks, 16 KB each, so that a listener who seeks back has nothing encoded twice. The least recently used is evicted. */
export type EncodedBlocks = BoundedMap<Uint8Array>
export const maxEncodedBlocks = 256

type Begun = PieceStream.Begun<RenditionFailure>

/** Pieces of audio that are read one after another; windows of them can overlap. */
class Window {
  readonly #next: Begun["next"]
  #held: ReadonlyArray<{ readonly at: number; readonly bytes: Uint8Array }> = []
  #end: number

  constructor(start: number, { first, next }: Begun) {
    this.#end = start
    this.#next = next
    this.#add(first)
  }

  #add(pieces: ReadonlyArray<Uint8Array>): void {
    for (const bytes of pieces) {
      this.#held = [...this.#held, { at: this.#end, bytes }]
      this.#end += bytes.length
    }
  }

  #drop(start: number): void {
    for (const { at, bytes } of this.#held) if (at + bytes.length <= start) ReadBuffers.giveBack(bytes)
    this.#held = this.#held.filter(({ at, bytes }) => at + bytes.length > start)
  }

  /** Copies bytes `start` to `end` to the same places of `target`, whose first byte is at `origin`. */
  copy(target: Uint8Array, origin: number, start: number, end: number): Effect.Effect<void, RenditionFailure> {
    const copyHeld = () => {
      for (const { at, bytes } of this.#held) {
        const part = bytes.subarray(Math.max(0, start - at), Math.max(0, end - at))
        if (part.length > 0) target.set(part, Math.max(start, at) - origin)
      }
    }
    const readOn: Effect.Effect<void, RenditionFailure> = Effect.suspend(() => {
      this.#drop(start)
      if (this.#end >= end) return Effect.sync(copyHeld)
      return Effect.flatMap(this.#next, (pieces) => {
        if (pieces === undefined) return Effect.die(new Error(`the audio ends at byte ${this.#end} of ${end}`))
        this.#add(pieces)
        return readOn
      })
    })
    return readOn
  }
}

interface Source {
  readonly uid: string
  readonly opus: Opus["Service"]
  readonly blocks: EncodedBlocks
}

/** Blocks of four seconds are encoded, each from its samples alone. `pcm`: the file without a header. */
export function encoded({ blocks, opus, uid }: Source, pcm: Rendition, etag: string): Rendition {
  const { file } = pcm
  const { id, sampleRate, samples } = file
  const layout = OggOpus.layout(file)

  const packetsOf = (block: number) => {
    const first = block * OggOpus.packetsOfBlock
    return { first, count: Math.min(OggOpus.packetsOfBlock, layout.packets - first) }
  }

  /** The window of a block, in samples. */
  const windowOf = (block: number) => {
    const { count, first } = packetsOf(block)
    const { end, start } = encodedFrom(sampleRate, first, count)
    return { start, end, from: Math.max(0, start), to: Math.min(samples, end) }
  }

  /** By all that the bytes depend on: audio can be inserted into a live file without a change of its version or length. */
  const keyOf = (block: number) => [uid, etag, block].join(" ")

  const begin = Effect.fnUntraced(function* (range: Wav.Range) {
    const scope = yield* Effect.scope
    let window: Window | undefined
    const { end, first } = OggOpus.blocksOf(range)
    let block = first

    const encode = Effect.fnUntraced(function* (block: number) {
      const { end, from, start, to } = windowOf(block)
      if (from < to) {
        window ??= new Window(from * 2, yield* Scope.provide(pcm.begin({ start: from * 2, end: samples * 2 }), scope))
      }
      const { count, first } = packetsOf(block)
      const bytes = new Uint8Array((end - start) * 2)
      if (window !== undefined && from < to) yield* window.copy(bytes, start * 2, from * 2, to * 2)
      return yield* Effect.retry(opus.encode(uid, bytes, sampleRate, first, count), whileSaturated)
    })

    const next = Effect.gen(function* () {
      if (block >= end) return undefined
      const key = keyOf(block)
      const packets = blocks.get(key) ?? (yield* encode(block))
      blocks.set(key, packets)
      return [OggOpus.blockIn(range, id, layout, block++, packets)]
    })
    const heads = OggOpus.headsIn(range, id, sampleRate)
    const begun = (yield* next) ?? []
    return { first: [heads, ...begun].filter(({ length }) => length > 0), next }
  })

  return { file, format: "ogg", size: layout.size, etag, begin }
}

/** Packets as they were recorded. The size is known at the end. */
export function recorded(
  { packets }: Pick<Recording["Service"], "packets">,
  file: RecordedFile,
  etag: string
): Rendition {
  const { id, sampleRate, samples } = file

  /** Reads one chunk at a time, when the pages of the one before have been sent. */
  const pages = Stream.suspend((): Stream.Stream<Uint8Array, RenditionFailure> => {
    const stream = new OggStream(id, sampleRate, samples)
    const pieces = Stream.paginate(0, (at) =>
      Effect.map(
        Effect.tapError(file.pieces(at, samples), logChange),
        ({ end, pieces }) => [pieces, end < samples ? Option.some(end) : Option.none()] as const
      )
    )
    /** A gap of lost audio can be of many hours: each part of it is made when the one before has been sent. */
    const silence = (to: number) =>
      Stream.paginate(undefined, () =>
        Effect.sync(() => {
          if (stream.fill(to)) return [[], Option.none()] as const
          return [[stream.take()], Option.some(undefined)] as const
        })
      )
    const audible = Stream.flatMap(Stream.rechunk(pieces, 1), ({ chunk, offset, samples, skip }) => {
      const begin = (offset - skip) / sampleRate
      const sound = Effect.map(explained(chunk)(packets(chunk)), (packets) => {
        stream.add(packets, begin, (offset + samples) / sampleRate)
        return stream.take()
      })
      return Stream.concat(silence(begin), Stream.fromEffect(sound))
    })
    const last = Stream.sync(() => {
      stream.end()
      return stream.take()
    })
    return Stream.filter(
      audible.pipe(Stream.concat(Stream.suspend(() => silence(Infinity))), Stream.concat(last)),
      ({ length }) => length > 0
    )
  })
  const begin = () =>
    PieceStream.begin(
      Stream.map(pages, (page) => [page]),
      1
    )

  return { file, format: "ogg", size: undefined, etag, begin }
}
