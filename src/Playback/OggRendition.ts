/** A PCM audio file as Ogg Opus. Blocks of four seconds are encoded while they are sent, each from its samples alone. */
import { Effect, Schedule, Scope } from "effect"
import { OggOpus, type Wav } from "../Audio.ts"
import type { BoundedMap } from "../BoundedMap.ts"
import { encodedFrom, type Opus } from "../Opus.ts"
import { ReadBuffers } from "../Storage.ts"
import type { Begun, Rendition, RenditionFailure } from "./Rendition.ts"

/** Encoded blocks, 16 KB each, so that a listener who seeks back has nothing encoded twice. The least recently used is evicted. */
export type EncodedBlocks = BoundedMap<Uint8Array>
export const maxEncodedBlocks = 256

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

/** A response in progress waits up to 10 s for a thread while the queue of waiters is full. */
const whileSaturated = Schedule.spaced("500 millis").pipe(
  Schedule.upTo({ times: 20 }),
  Schedule.setInputType<RenditionFailure>(),
  Schedule.while(({ input }) => input._tag === "Saturated")
)

interface Source {
  readonly uid: string
  readonly opus: Opus["Service"]
  readonly encoded: EncodedBlocks
}

/** `pcm`: the file without a header. */
export function make({ encoded, opus, uid }: Source, pcm: Rendition, etag: string): Rendition {
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
      const packets = encoded.get(key) ?? (yield* encode(block))
      encoded.set(key, packets)
      return [OggOpus.blockIn(range, id, layout, block++, packets)]
    })
    const heads = OggOpus.headsIn(range, id, sampleRate)
    const begun = (yield* next) ?? []
    return { first: [heads, ...begun].filter(({ length }) => length > 0), next }
  })

  return { file, format: "ogg", size: layout.size, etag, begin }
}
