/** Why a span of a conversation can't be heard. */
import { Schema } from "effect"

const span = {
  conversation: Schema.String,
  /** Unix seconds. */
  start: Schema.Finite,
  end: Schema.Finite,
  cause: Schema.Defect()
}

const messageOf = ({ cause }: { readonly cause: unknown }) => (cause instanceof Error ? cause.message : String(cause))

/** Its audio is damaged, or encrypted with another secret: no repetition mends it. */
export class AudioUnreadable extends Schema.TaggedError<AudioUnreadable>()("AudioUnreadable", span) {
  override get message() {
    return messageOf(this)
  }
}

/** The store has no object for it. */
export class AudioMissing extends Schema.TaggedError<AudioMissing>()("AudioMissing", span) {
  override get message() {
    return messageOf(this)
  }
}
