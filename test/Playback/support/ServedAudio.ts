/** Paths of audio files, and the WAV files expected there. */
import { Timeline } from "../../../src/Audio.ts"
import * as WavFiles from "../../support/WavFiles.ts"
import { rate, t0 } from "./MemoryRecording.ts"

export const idOf = (conversation: string, start = t0, uid = "ada") =>
  Timeline.fileId(uid, conversation, { start, sampleRate: rate, codec: "pcm16" })

export const pathOf = (conversation: string, query = "") =>
  `/v1/sync/audio/${conversation}/${idOf(conversation)}${query}`

/** The WAV file that is expected for this audio. */
export const wavOf = (pcm: Uint8Array) => WavFiles.wavOf(pcm, rate)
