/** Merged audio files that clients download from the store. Precaching provides them; without it there are none. */
import { Context, Effect, Schema } from "effect"
import type { DbError } from "../../Db.ts"

/** Why an audio file has no artifact, or can't be played. */
export const Reason = Schema.Literals(["chunks_missing", "merge_failed", "empty_audio"])
export type Reason = typeof Reason.Type

/** `merged`: the store has it, with all of the audio. `failed`: the last attempt, which is or was repeated. */
export type Artifact =
  | { readonly state: "merged"; readonly url: string | undefined }
  | { readonly state: "merging" }
  | { readonly state: "failed"; readonly reason: Reason }

export interface ArtifactsPage {
  readonly before?: string
  readonly format: "wav" | "ogg"
}

export const Artifacts = Context.Reference<{
  /**
   * Artifacts of a page of audio files in a format, by id. URLs need no key, live for an hour, and exist for the latest 100 merged
   * files. A `before` is a `filesNext`.
   */
  of(uid: string, conversation: string, page: ArtifactsPage): Effect.Effect<ReadonlyMap<string, Artifact>, DbError>
}>("spillway/Playback/Artifacts", { defaultValue: () => ({ of: () => Effect.succeed(new Map()) }) })
