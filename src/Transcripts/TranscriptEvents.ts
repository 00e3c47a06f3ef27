/** The events of transcripts: what has changed within about a second. */
import { Effect, Schema } from "effect"
import type { DbError } from "../Db.ts"
import type { Protection } from "../Encryption.ts"
import * as Events from "../Events.ts"
import type * as Pusher from "../Pusher.ts"

export const segmentsType = Events.define({
  name: "transcript.segments",
  description:
    "Segments of a transcript are new or have changed. Events over 256 KiB have a `url`, a path of this server, in place of them.",
  data: Schema.Struct({
    uid: Schema.String,
    conversation_id: Schema.String,
    segments: Schema.Array(Schema.Record(Schema.String, Schema.Unknown)),
    url: Schema.optionalKey(Schema.String)
  }),
  thin: ({ conversation_id, segments, uid }) => {
    const from = segments.reduce((least, { start }) => Math.min(least, typeof start === "number" ? start : 0), Infinity)
    const path = `/v1/conversations/${conversation_id}/transcript`
    return { uid, conversation_id, segments: [], url: `${path}?uid=${uid}&from=${Math.max(0, from)}` }
  }
})

interface Place {
  readonly uid: string
  readonly conversation: string
  readonly id: string
}

const decode = Schema.decodeEffect(Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown)))

const keyOf = ({ conversation, id, uid }: Place) => `${uid} ${conversation} ${id}`

interface Changes {
  readonly given: ReadonlyArray<Place & Pick<Pusher.Segment, "json">>
  /** Of the segments that have changed. */
  readonly places: ReadonlyArray<Place>
  /** Whether the transcripts of the user are encrypted; then the events are, too. */
  readonly isSealed: (uid: string) => boolean
}

/** One event for each conversation, with the segments that have changed. */
export const segments = Effect.fnUntraced(function* (
  protection: Protection["Service"],
  { given, isSealed, places }: Changes
): Effect.fn.Return<ReadonlyArray<Events.Event>, DbError> {
  const changed = new Set(places.map(keyOf))
  const byConversation = Map.groupBy(
    given.filter((segment) => changed.has(keyOf(segment))),
    ({ conversation, uid }) => `${uid} ${conversation}`
  )
  return yield* Effect.forEach(byConversation.values(), (list) =>
    Effect.gen(function* () {
      const [{ conversation, uid } = { conversation: "", uid: "" }] = list
      const objects = yield* Effect.orDie(Effect.forEach(list, ({ json }) => decode(json)))
      const data = { uid, conversation_id: conversation, segments: objects }
      const event = yield* Events.make(segmentsType, { uid, conversation, data })
      return isSealed(uid) ? { ...event, sealed: yield* protection.encrypt(uid, Buffer.from(event.body)) } : event
    })
  )
})
