/** A span of audio on the timeline. */
import { Schema } from "effect"

/** 16-bit little-endian mono PCM, or Opus packets. */
export const Codec = Schema.Literals(["pcm16", "opus"])
export type Codec = typeof Codec.Type

/** `start` in Unix seconds, `sampleRate` in Hz. */
export interface Span {
  readonly start: number
  readonly samples: number
  readonly sampleRate: number
}

export function end(span: Span): number {
  return span.start + span.samples / span.sampleRate
}
