/** The event of a VOD that is ready. */
import type { Effect } from "effect"
import { Schema } from "effect"
import * as Events from "../Events.ts"
import type { Vod } from "./Vod.ts"

const readyType = Events.define({
  name: "vod.ready",
  description: "The recording of a broadcast can be played and downloaded. `stream`: null if the stream is deleted.",
  data: Schema.Struct({
    uid: Schema.String,
    vod_id: Schema.String,
    stream: Schema.NullOr(Schema.String),
    broadcast: Schema.Finite,
    conversation_id: Schema.String,
    title: Schema.String,
    duration: Schema.Finite,
    started_at: Schema.String
  })
})

export function ready(vod: Vod): Effect.Effect<Events.Event> {
  const { broadcast, conversation, duration = 0, id, slug, startedAt, title, uid } = vod
  return Events.make(readyType, {
    uid,
    conversation,
    data: {
      uid,
      vod_id: id,
      stream: slug ?? null,
      broadcast,
      conversation_id: conversation,
      title,
      duration,
      started_at: startedAt.toISOString()
    }
  })
}
