/** Spans, timelines, WAV, Opus containers and peaks. Pure functions. */
export * as OpusContainer from "./Audio/OpusContainer.ts"
export * as Peaks from "./Audio/Peaks.ts"
export * as Placement from "./Audio/Placement.ts"
export * as Span from "./Audio/Span.ts"
export * as Timeline from "./Audio/Timeline.ts"
export * as Wav from "./Audio/Wav.ts"
