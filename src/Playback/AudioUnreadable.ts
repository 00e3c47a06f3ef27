/** A span of a conversation can't be heard. */
import { Schema } from "effect"

/** Its audio is missing, damaged, or encrypted with another secret: no repetition mends it. */
export class AudioUnreadable extends Schema.TaggedError<AudioUnreadable>()("AudioUnreadable", {
  conversation: Schema.String,
  /** Unix seconds. */
  start: Schema.Finite,
  end: Schema.Finite,
  cause: Schema.Defect()
}) {
  override get message() {
    return this.cause instanceof Error ? this.cause.message : String(this.cause)
  }
}
