/** Spans, timeline arithmetic and WAV: pure. */
export * as Span from "./Audio/Span.ts"
