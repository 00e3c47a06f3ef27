/** A VOD: the recording of a broadcast. */
import { Schema } from "effect"

/** `pending`: its recording is not prepared yet. `processing`: its audio files are being merged. */
export const Status = Schema.Literals(["pending", "processing", "ready", "failed"])
export type Status = typeof Status.Type

/** A deleted VOD is in no list but that of deleted ones, whatever its status. */
export const State = Schema.Literals([...Status.literals, "deleted"])
export type State = typeof State.Type

/**
 * `no_audio`: nothing was recorded. `audio_missing`, `merge_failed`: of its audio files. `too_slow`: it was not ready in a day.
 * `internal`: the log has the error.
 */
export const FailureReason = Schema.Literals(["no_audio", "audio_missing", "merge_failed", "too_slow", "internal"])
export type FailureReason = typeof FailureReason.Type

export const Format = Schema.Literals(["wav", "ogg"])
export type Format = typeof Format.Type

export interface Vod {
  readonly id: string
  /** The owner. */
  readonly uid: string
  /** The slug of its stream; none if the stream is deleted. */
  readonly slug: string | undefined
  readonly broadcast: number
  readonly conversation: string
  readonly status: Status
  /** Of a failed one. */
  readonly reason: FailureReason | undefined
  readonly title: string
  readonly description: string
  /** Seconds of audio; none before it is known. */
  readonly duration: number | undefined
  /** What its audio files are merged into. */
  readonly format: Format
  /** When the broadcast began. */
  readonly startedAt: Date
  readonly createdAt: Date
  /** Higher after each change by a user. */
  readonly revision: number
  readonly deletedAt: Date | undefined
  /** When a deleted VOD is purged. */
  readonly purgeAt: Date | undefined
  /** Its place in lists. */
  readonly cursor: string
}
