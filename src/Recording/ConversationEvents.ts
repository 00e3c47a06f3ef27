/** The events of conversations. */
import { DateTime, Effect, Schema } from "effect"
import * as Events from "../Events.ts"

const fields = { uid: Schema.String, conversation_id: Schema.String }
const Conversation = Schema.Struct(fields)

const createdType = Events.define({
  name: "conversation.created",
  description: "A conversation has begun. Imported conversations have no such event.",
  data: Conversation
})

const finishedType = Events.define({
  name: "conversation.finished",
  description: "A conversation was finished on request. It can be resumed, and finished again.",
  data: Conversation
})

const deletedType = Events.define({
  name: "conversation.deleted",
  description: "A conversation was deleted, with all of its audio.",
  data: Conversation
})

const lostType = Events.define({
  name: "audio.lost",
  description: "Audio was discarded, because the journal was full. It is played as silence.",
  data: Schema.Struct({ ...fields, started_at: Schema.String, duration: Schema.Finite })
})

interface Name {
  readonly uid: string
  readonly conversation: string
}

const subject = ({ conversation, uid }: Name) => ({ uid, conversation, data: { uid, conversation_id: conversation } })

export function created(name: Name): Effect.Effect<Events.Event> {
  return Events.make(createdType, subject(name))
}

export function finished(name: Name): Effect.Effect<Events.Event> {
  return Events.make(finishedType, subject(name))
}

/** Not erased with the conversation: it has only the ids. */
export function deleted(name: Name): Effect.Effect<Events.Event> {
  return Events.make(deletedType, { ...subject(name), isErased: false })
}

/** `start` in Unix seconds, `duration` in seconds. */
export function lost(
  name: Name,
  { duration, start }: { readonly start: number; readonly duration: number }
): Effect.Effect<Events.Event> {
  const startedAt = DateTime.formatIso(DateTime.makeUnsafe(start * 1_000))
  const { data, ...rest } = subject(name)
  return Events.make(lostType, { ...rest, data: { ...data, started_at: startedAt, duration } })
}
