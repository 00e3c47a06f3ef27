/** The parts of the chat's responses and frames that the page uses, and its paths. */
import * as Json from "../Json.ts"

const message = Json.record({
  id: Json.number,
  uid: Json.text,
  text: Json.text,
  broadcast_id: Json.nullable(Json.number),
  stream_offset_ms: Json.nullable(Json.number),
  created_at: Json.text
})
export type Message = Json.Decoded<typeof message>

export const messages = Json.record({
  messages: Json.list(message),
  has_more: Json.flag,
  after_id: Json.nullable(Json.number),
  from_offset_ms: Json.nullable(Json.number)
})

/** Without `until` a ban, with it a timeout. */
export const sanction = Json.record({ until: Json.nullable(Json.text), reason: Json.text })
export type Sanction = Json.Decoded<typeof sanction>

const user = { uid: Json.text, role: Json.text, permissions: Json.list(Json.text) }
/** The reader; null without a key. */
const you = Json.nullable(Json.record(user))
export type You = NonNullable<Json.Decoded<typeof you>>

const settings = { enabled: Json.flag, slow_mode_seconds: Json.number }

export const state = Json.record({
  ...settings,
  you: Json.nullable(Json.record({ ...user, ban: Json.nullable(sanction) }))
})

export const frame = Json.record({ type: Json.text, id: Json.lenient(Json.number) })
/** By `type`. */
export const frames = {
  hello: Json.record({ ...settings, last_id: Json.number, you }),
  message,
  delete: Json.record({ message_id: Json.number }),
  ban: Json.record({ uid: Json.text, until: Json.nullable(Json.text) }),
  unban: Json.record({ uid: Json.text }),
  settings: Json.record(settings),
  you: Json.record({ you }),
  gap: Json.record({ through_id: Json.number }),
  accepted: Json.record({ nonce: Json.text }),
  rejected: Json.record({
    nonce: Json.nullable(Json.text),
    detail: Json.text,
    retry_after: Json.nullable(Json.number)
  })
} as const

export function pathOf(slug: string): string {
  return `/api/v1/studio/streams/${encodeURIComponent(slug)}/chat`
}
