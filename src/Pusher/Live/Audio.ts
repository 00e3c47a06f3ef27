/** Live audio on its way from the capture sockets to a sink, in pieces. Nothing is buffered for users whose audio no sink wants. */
import { Context, Duration, Effect, Layer, Metric } from "effect"
import type { Scope } from "effect"
import { Bitstream, type Span } from "../../Audio.ts"
import * as BackgroundLoop from "../../BackgroundLoop.ts"

/** Bytes of all unfinished pieces. At the bound, audio of further messages is left out of them and counted. */
const maxBytes = 64 * 1024 * 1024

const countEvery = Duration.seconds(1)

export interface AudioSource {
  readonly uid: string
  readonly sampleRate: number
  readonly codec: Span.Codec
}

export interface AudioPiece extends AudioSource {
  readonly conversation: string
  /** PCM16 LE, or Opus packets, each after its u16 LE length. */
  readonly audio: Buffer
}

export interface AudioSink {
  /** Lengths in seconds of the pieces in which the audio of the user is wanted, each once. Called for each message. */
  readonly lengths: (uid: string) => ReadonlyArray<number>
  /** Synchronous, and bounds what it keeps. The pieces of a capture come with the same `tap`. */
  readonly take: (tap: AudioTap, seconds: number, piece: AudioPiece) => void
}

export class LiveAudio extends Context.Service<
  LiveAudio,
  {
    /** Until the scope closes. */
    add(sink: AudioSink): Effect.Effect<void, never, Scope.Scope>
    readonly open: (capture: AudioSource) => AudioTap
  }
>()("spillway/Pusher/Live/Audio/LiveAudio") {
  static readonly layer = Layer.effect(
    LiveAudio,
    Effect.suspend(() => make)
  )
}

const droppedTotal = Metric.counter("spillway_live_audio_dropped_bytes_total", {
  description: "Bytes of live audio that were left out, because unfinished pieces had 64 MiB",
  incremental: true
})

/** What the taps of the node share. */
interface Shared {
  readonly sinks: Set<AudioSink>
  bytes: number
  dropped: number
}

interface Unfinished {
  parts: Array<Buffer>
  bytes: number
  samples: number
}

/** The audio of one capture. A piece ends with the message that completes its length, so it can be longer by that message. */
export class AudioTap {
  readonly #capture: AudioSource
  readonly #shared: Shared
  #bitstream: Bitstream.Bitstream | undefined
  #unfinished: Map<AudioSink, Map<number, Unfinished>> | undefined

  constructor(capture: AudioSource, shared: Shared) {
    this.#capture = capture
    this.#shared = shared
  }

  /** Copies the audio if a sink wants it. */
  append(conversation: string, audio: Uint8Array): void {
    for (const sink of this.#shared.sinks) {
      const lengths = sink.lengths(this.#capture.uid)
      if (lengths.length > 0) this.#add(sink, lengths, conversation, audio)
    }
  }

  /** Ends the pieces: the conversation or the capture ends. */
  flush(conversation: string): void {
    for (const [sink, pieces] of this.#unfinished ?? [])
      for (const seconds of pieces.keys()) this.#end(sink, seconds, conversation)
    this.#unfinished = undefined
  }

  #add(sink: AudioSink, lengths: ReadonlyArray<number>, conversation: string, audio: Uint8Array): void {
    const shared = this.#shared
    const bytes = audio.length * lengths.length
    if (shared.bytes + bytes > maxBytes) {
      shared.dropped += bytes
      return
    }
    const part = Buffer.from(audio)
    this.#bitstream ??= Bitstream.of(this.#capture.codec, this.#capture.sampleRate)
    const samples = this.#bitstream.samples(audio)
    this.#unfinished ??= new Map()
    const pieces = this.#unfinished.get(sink) ?? new Map<number, Unfinished>()
    this.#unfinished.set(sink, pieces)
    for (const seconds of lengths) {
      const piece = pieces.get(seconds) ?? { parts: [], bytes: 0, samples: 0 }
      pieces.set(seconds, piece)
      piece.parts.push(part)
      piece.bytes += part.length
      piece.samples += samples
      shared.bytes += part.length
      if (piece.samples >= seconds * this.#capture.sampleRate) this.#end(sink, seconds, conversation)
    }
    // Of an endpoint that was removed or has another length now.
    for (const seconds of pieces.keys()) if (!lengths.includes(seconds)) this.#end(sink, seconds, conversation)
  }

  #end(sink: AudioSink, seconds: number, conversation: string): void {
    const pieces = this.#unfinished?.get(sink)
    const piece = pieces?.get(seconds)
    if (piece === undefined) return
    pieces?.delete(seconds)
    this.#shared.bytes -= piece.bytes
    sink.take(this, seconds, { ...this.#capture, conversation, audio: Buffer.concat(piece.parts, piece.bytes) })
  }
}

const make = Effect.gen(function* () {
  const shared: Shared = { sinks: new Set(), bytes: 0, dropped: 0 }
  yield* BackgroundLoop.every(
    countEvery,
    Effect.suspend(() => {
      const { dropped } = shared
      shared.dropped = 0
      return Metric.update(droppedTotal, dropped)
    }),
    "live audio could not be counted"
  )
  return LiveAudio.of({
    add: (sink) =>
      Effect.acquireRelease(
        Effect.sync(() => void shared.sinks.add(sink)),
        () => Effect.sync(() => void shared.sinks.delete(sink))
      ),
    open: (capture) => new AudioTap(capture, shared)
  })
})
