/** The messages of the chat socket: JSON in text frames. docs/studio.md describes them. */
import { Option, Schema } from "effect"
import type { Change, Message } from "./Message.ts"
import { Nonce } from "./Message.ts"

export const closeCodes = {
  goingAway: 1001,
  unsupported: 1003,
  policy: 1008,
  failed: 1011,
  later: 1013,
  banned: 4003,
  noStream: 4004,
  slow: 4029
} as const

/** Larger ones close the socket with 1009. A text of 500 characters can have 6 bytes for each half of one, escaped. */
export const maxFrameBytes = 8 * 1024

/** A close frame has room for 123 bytes. */
const maxReasonBytes = 123

/** Cut to whole characters. */
export function reasonOf(text: string): string {
  if (Buffer.byteLength(text) <= maxReasonBytes) return text
  let reason = ""
  for (const character of text) {
    if (Buffer.byteLength(reason + character) > maxReasonBytes - 3) break
    reason += character
  }
  return `${reason}…`
}

/** A message as the API shows it. */
export interface MessageInfo {
  readonly id: number
  readonly uid: string
  readonly text: string
  readonly broadcast_id: number | null
  readonly stream_offset_ms: number | null
  readonly created_at: string
}

export function infoOf({ broadcast, createdAt, id, offset, text, uid }: Message): MessageInfo {
  return {
    id,
    uid,
    text,
    broadcast_id: broadcast ?? null,
    stream_offset_ms: offset ?? null,
    created_at: createdAt.toISOString()
  }
}

/** What one change is to readers. */
export interface Frame {
  /** Frames without an id are about the state of the room, and not replayed. */
  readonly id: number | undefined
  readonly text: string
  /** Closes the sockets of a user, or all. */
  readonly closes: { readonly uid: string | undefined; readonly code: number; readonly reason: string } | undefined
  /** Sends nothing: each socket checks whether it may still read the stream. */
  readonly checks?: boolean
}

/** The stream has become private. */
export const accessFrame: Frame = { id: undefined, text: "", closes: undefined, checks: true }

export interface RoomSettings {
  readonly isEnabled: boolean
  readonly slowModeSeconds: number
}

const settingsInfo = ({ isEnabled, slowModeSeconds }: RoomSettings) => ({
  enabled: isEnabled,
  slow_mode_seconds: slowModeSeconds
})

export function settingsFrame(settings: RoomSettings): Frame {
  return { id: undefined, text: JSON.stringify({ type: "settings", ...settingsInfo(settings) }), closes: undefined }
}

const isoOf = (date: Date | undefined) => date?.toISOString() ?? null

/** The reason of a ban is for the banned user only, and a timeout closes no socket. */
export function frameOf(change: Change): Frame {
  const { id, kind } = change
  const frame = (body: object, closes?: Frame["closes"]): Frame => ({
    id,
    text: JSON.stringify({ type: kind, ...body }),
    closes
  })
  switch (kind) {
    case "message":
      return frame(infoOf(change.message))
    case "delete":
      return frame({ id, message_id: change.message })
    case "ban": {
      const { reason, uid, until } = change.ban
      const closes = until === undefined ? { uid, code: closeCodes.banned, reason: bannedReason(reason) } : undefined
      return frame({ id, uid, until: isoOf(until) }, closes)
    }
    case "unban":
      return frame({ id, uid: change.uid })
  }
}

export function bannedReason(reason: string): string {
  return reasonOf(reason === "" ? "you are banned from this chat" : `you are banned from this chat: ${reason}`)
}

interface You {
  readonly uid: string
  readonly role: string
  readonly permissions: ReadonlyArray<string>
}

interface Hello {
  readonly lastId: number
  readonly settings: RoomSettings
  readonly you: You | null
}

export function hello({ lastId, settings, you }: Hello): string {
  return JSON.stringify({ type: "hello", last_id: lastId, ...settingsInfo(settings), you })
}

/** The user's role or permissions have changed. */
export function you(you: You): string {
  return JSON.stringify({ type: "you", you })
}

/** What is after `after` and up to `through` is not replayed. */
export function gap(after: number, through: number): string {
  return JSON.stringify({ type: "gap", after_id: after, through_id: through })
}

export function accepted(nonce: string, id: number): string {
  return JSON.stringify({ type: "accepted", nonce, id })
}

export function rejected(
  nonce: string | null,
  { code, detail, retryAfter }: { readonly code: string; readonly detail: string; readonly retryAfter?: number }
): string {
  return JSON.stringify({ type: "rejected", nonce, code, detail, retry_after: retryAfter ?? null })
}

const PostFrame = Schema.Struct({ type: Schema.Literal("post"), nonce: Nonce, text: Schema.String })
export type PostFrame = typeof PostFrame.Type

/** None if the frame is not one of the protocol. */
export const decodePost = Schema.decodeUnknownOption(Schema.fromJsonString(PostFrame), { onExcessProperty: "error" })

/** Of a frame that is otherwise not valid, so that the client knows which one it was. */
export function nonceOf(text: string): string | null {
  const frame = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Struct({ nonce: Nonce })))(text)
  return Option.match(frame, { onNone: () => null, onSome: ({ nonce }) => nonce })
}

const idOf = Schema.decodeUnknownOption(
  Schema.NumberFromString.check(Schema.isInt(), Schema.isBetween({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }))
)

/** `after_id` of the URL; undefined without one, none if it is not valid. */
export function afterIdOf(url: string): Option.Option<number | undefined> {
  const text = new URLSearchParams(url.split("?")[1]).get("after_id")
  return text === null ? Option.some(undefined) : /^\d{1,16}$/.test(text) ? idOf(text) : Option.none()
}
