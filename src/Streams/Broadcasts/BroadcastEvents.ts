/** The events of broadcasts. */
import { Effect, Schema } from "effect"
import * as Events from "../../Events.ts"

const fields = {
  uid: Schema.String,
  slug: Schema.String,
  title: Schema.String,
  broadcast: Schema.Int,
  conversation_id: Schema.String,
  started_at: Schema.String
}

const startedType = Events.define({
  name: "stream.started",
  description: "A stream is live: the first audio of a broadcast has arrived.",
  data: Schema.Struct(fields)
})

const endedType = Events.define({
  name: "stream.ended",
  description: "A broadcast has ended: by its owner, or nothing has fed it for 30 seconds. `duration` in seconds.",
  data: Schema.Struct({ ...fields, ended_at: Schema.String, duration: Schema.Finite })
})

/** A broadcast with the names of its stream. */
export interface StartedBroadcast {
  /** Counts from 1 in its stream. */
  readonly id: number
  readonly uid: string
  readonly slug: string
  readonly title: string
  readonly conversation: string
  readonly startedAt: Date
}

export interface EndedBroadcast extends StartedBroadcast {
  /** When its last capture left, or its owner ended it. */
  readonly endedAt: Date
}

const dataOf = ({ conversation, id, slug, startedAt, title, uid }: StartedBroadcast) => ({
  uid,
  slug,
  title,
  broadcast: id,
  conversation_id: conversation,
  started_at: startedAt.toISOString()
})

/** Not erased with the conversation: the broadcast took place. */
const isErased = false

export function started(subject: StartedBroadcast): Effect.Effect<Events.Event> {
  return Events.make(startedType, { uid: subject.uid, isErased, data: dataOf(subject) })
}

export function ended(subject: EndedBroadcast): Effect.Effect<Events.Event> {
  const duration = Math.max(0, subject.endedAt.getTime() - subject.startedAt.getTime()) / 1_000
  const data = { ...dataOf(subject), ended_at: subject.endedAt.toISOString(), duration }
  return Events.make(endedType, { uid: subject.uid, isErased, data })
}
