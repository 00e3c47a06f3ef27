/** Bitstreams, spans, timelines, WAV, Opus and peaks. Pure functions. */
export * as Bitstream from "./Audio/Bitstream.ts"
export * as OpusContainer from "./Audio/OpusContainer.ts"
export * as OpusPacket from "./Audio/OpusPacket.ts"
export * as Peaks from "./Audio/Peaks.ts"
export * as Placement from "./Audio/Placement.ts"
export * as Span from "./Audio/Span.ts"
export * as Timeline from "./Audio/Timeline.ts"
export * as Wav from "./Audio/Wav.ts"
