/** A chunk's bytes can't be had. */
import { Schema } from "effect"

/** Corrupt, given up, or gone from both the journal and the store. */
export class ChunkUnreadable extends Schema.TaggedError<ChunkUnreadable>()("ChunkUnreadable", {
  uid: Schema.String,
  conversation: Schema.String,
  key: Schema.String,
  cause: Schema.Defect()
}) {
  override get message() {
    return `can't read the audio of ${this.key}: ${this.cause instanceof Error ? this.cause.message : String(this.cause)}`
  }
}
