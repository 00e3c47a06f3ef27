/** Audio files that are sent while they grow. */
import { Context, type Effect, type Option, type Scope } from "effect"
import type { Wav } from "../../Audio.ts"
import type { DbError } from "../../Db.ts"
import type { Rendition } from "../../Playback.ts"
import type * as FollowedFile from "./FollowedFile.ts"

export type FollowedRendition = Rendition<FollowedFile.FollowFailure, string | undefined>

export class Follow extends Context.Service<
  Follow,
  {
    /**
     * The file from `from` on, in seconds from its start; if negative, from the end of its durable audio. It has no size: it
     * ends when nothing records the conversation any more, or a later file has begun. It fails if the node stops before. None if
     * the user has no such file. The scope is that of the response.
     */
    open(
      name: FollowedFile.FileName,
      format: Wav.Format,
      from: number
    ): Effect.Effect<Option.Option<FollowedRendition>, FollowedFile.FollowFailure | DbError, Scope.Scope>
  }
>()("spillway/Playback/Follow/Follow") {}
