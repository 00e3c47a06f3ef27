/** Where a piece of audio lies on the timeline: exact, never inferred from a size or a name. */
import { Schema } from "effect"

/** How the samples of a chunk are coded: 16-bit little-endian mono PCM, or Opus packets. */
export const Codec = Schema.Literals(["pcm16", "opus"])
export type Codec = typeof Codec.Type

/** `start` in unix seconds of the first sample, `samples` per channel (mono), `sampleRate` in Hz. */
export interface Span {
  readonly start: number
  readonly samples: number
  readonly sampleRate: number
}

/** Unix seconds of the first sample after the span. */
export function end(span: Span): number {
  return span.start + span.samples / span.sampleRate
}
