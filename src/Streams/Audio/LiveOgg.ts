/** Live audio as Ogg Opus. A second of it is encoded once for all listeners. */
import { Cache, Context, Duration, Effect, Equal, Exit, Hash, Layer } from "effect"
import { SecureRandom } from "effect/crypto"
import { Ogg, OggOpus } from "../../Audio.ts"
import { type Saturated, whileSaturated } from "../../Bulkhead.ts"
import { type CodecFailed, encodedFrom, Opus } from "../../Opus.ts"

type Pieces = ReadonlyArray<Uint8Array>

/** Samples of a file as PCM16, from one of them on. */
export interface LivePcm<E> {
  readonly uid: string
  /** Names the file, the user's conversation included. */
  readonly id: string
  readonly sampleRate: number
  /** The sample with which it begins: that of `firstSample`. */
  readonly first: number
  readonly next: Effect.Effect<Pieces | undefined, E>
}

export interface LivePages<E> {
  /** The header pages. */
  readonly heads: Uint8Array
  /** The page of the next second; undefined at the end. */
  readonly next: Effect.Effect<Pieces | undefined, E | CodecFailed | Saturated>
}

/** A page has 50 packets of 20 ms. */
const packetsOfBlock = 50

/** Encoded seconds of all streams, 4 KB each. At the bound the oldest is evicted, and encoded again for a late listener. */
const maxBlocks = 512

const timeToLive = Duration.seconds(30)

/** Seconds of audio before a block with which its encoder begins. */
const preRoll = 0.5

/** The first sample that is needed to play the file from a second on. */
export function firstSample(second: number, sampleRate: number): number {
  return Math.max(0, Math.round((Math.floor(second) - preRoll) * sampleRate))
}

/** A second of a file, with the samples from which it is encoded. */
class Block implements Equal.Equal {
  readonly uid: string
  readonly key: string
  readonly index: number
  readonly sampleRate: number
  readonly pcm: Uint8Array<ArrayBuffer>

  constructor(uid: string, id: string, index: number, sampleRate: number, pcm: Uint8Array<ArrayBuffer>) {
    this.uid = uid
    this.key = `${id} ${index}`
    this.index = index
    this.sampleRate = sampleRate
    this.pcm = pcm
  }

  [Equal.symbol](that: Equal.Equal): boolean {
    return that instanceof Block && that.key === this.key
  }

  [Hash.symbol](): number {
    return Hash.string(this.key)
  }
}

export class LiveOgg extends Context.Service<
  LiveOgg,
  {
    /** `second`: as given to `firstSample`. Playback begins with its whole second. */
    readonly open: <E>(pcm: LivePcm<E>, second: number) => LivePages<E>
  }
>()("spillway/Streams/Audio/LiveOgg") {
  static readonly layer = Layer.effect(
    LiveOgg,
    Effect.suspend(() => make)
  )
}

/** Samples that arrive in pieces, of which those before a position are dropped. */
class Samples {
  #bytes: Buffer = Buffer.alloc(0)
  #first: number

  constructor(first: number) {
    this.#first = first
  }

  get end(): number {
    return this.#first + this.#bytes.length / 2
  }

  add(pieces: Pieces): void {
    this.#bytes = Buffer.concat([this.#bytes, ...pieces])
  }

  /** Samples `start` to `end`; zero before the first one. */
  copy(start: number, end: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array((end - start) * 2)
    const from = Math.max(start, this.#first)
    bytes.set(this.#bytes.subarray((from - this.#first) * 2, (end - this.#first) * 2), (from - start) * 2)
    return bytes
  }

  drop(before: number): void {
    const from = Math.max(before, this.#first)
    this.#bytes = Buffer.from(this.#bytes.subarray((from - this.#first) * 2))
    this.#first = from
  }
}

const packetsIn = (encoded: Uint8Array): Pieces =>
  Array.from({ length: encoded.length / OggOpus.packetBytes }, (_, at) =>
    encoded.subarray(at * OggOpus.packetBytes, (at + 1) * OggOpus.packetBytes)
  )

const make = Effect.gen(function* () {
  const opus = yield* Opus
  const encoded = yield* Cache.makeWith(
    ({ index, pcm, sampleRate, uid }: Block) =>
      Effect.retry(opus.encode(uid, pcm, sampleRate, index * packetsOfBlock, packetsOfBlock), whileSaturated),
    { capacity: maxBlocks, timeToLive: (exit) => (Exit.isSuccess(exit) ? timeToLive : Duration.zero) }
  )

  return LiveOgg.of({
    open: ({ first, id, next, sampleRate, uid }, second) => {
      const serial = Ogg.serialOf(SecureRandom.uuidV4Unsafe())
      const samples = new Samples(first)
      const begin = Math.floor(second)
      let index = begin
      let hasEnded = false

      const pageOf = (position: "middle" | "last", packets: Pieces) =>
        Ogg.page({
          serial,
          sequence: OggOpus.headPages + index - begin,
          granule: (index - begin + (position === "last" ? 0 : 1)) * Ogg.granuleRate,
          position,
          packets
        })

      const page = Effect.gen(function* () {
        if (hasEnded) return undefined
        const window = encodedFrom(sampleRate, index * packetsOfBlock, packetsOfBlock)
        while (samples.end < window.end) {
          const pieces = yield* next
          if (pieces === undefined) {
            hasEnded = true
            return [pageOf("last", [])]
          }
          samples.add(pieces)
        }
        const pcm = samples.copy(window.start, window.end)
        samples.drop(window.start)
        const block = yield* Cache.get(encoded, new Block(uid, id, index, sampleRate, pcm))
        const made = pageOf("middle", packetsIn(block))
        index++
        return [made]
      })
      return { heads: Ogg.heads(serial, sampleRate, OggOpus.preSkip), next: page }
    }
  })
})
