/** What happens in a room: messages, and changes by moderation. Both have ids of one sequence. */
import { Schema } from "effect"
import type { SqlClient } from "effect/sql"

/** Characters are code points. */
const maxCharacters = 500

/** Control characters other than tabs and line feeds, and halves of characters. PostgreSQL stores no NUL. */
const unprintable = /(?![\t\n])[\p{Cc}\p{Cs}]/u

/** What is wrong with the text of a message, if anything is. The text is trimmed. */
export function mistakeOf(text: string): string | undefined {
  if (text === "") return `Expected 1 to ${maxCharacters} characters that are not all spaces`
  if (text.length > 2 * maxCharacters || [...text].length > maxCharacters)
    return `Expected at most ${maxCharacters} characters, found ${[...text].length}`
  return unprintable.test(text) ? "Expected text without control characters" : undefined
}

/** Chosen by the author: the same message sent again within 2 minutes is posted once. */
export const Nonce = Schema.String.check(
  Schema.makeFilter((nonce) => /^[\x21-\x7e]{1,64}$/.test(nonce), { expected: "1 to 64 printable ASCII characters" })
)

export interface Message {
  readonly id: number
  /** The author. */
  readonly uid: string
  /** As it was typed: markup is text. */
  readonly text: string
  /** The broadcast that was live. */
  readonly broadcast: number | undefined
  /** Milliseconds since the start of the broadcast. */
  readonly offset: number | undefined
  readonly createdAt: Date
}

/** A ban, or, with `until`, a timeout. */
export interface Ban {
  readonly uid: string
  readonly until: Date | undefined
  readonly reason: string
  readonly by: string
  readonly at: Date
}

export type Change =
  | { readonly kind: "message"; readonly id: number; readonly message: Message }
  | { readonly kind: "delete"; readonly id: number; readonly message: number }
  | { readonly kind: "ban"; readonly id: number; readonly ban: Pick<Ban, "uid" | "until" | "reason"> }
  | { readonly kind: "unban"; readonly id: number; readonly uid: string }

/** The result of `columns`. Without a schema, whose checks take as long as the rest of a page. */
export interface MessageRow {
  readonly id: number
  readonly uid: string
  readonly text: string
  readonly broadcast: number | null
  readonly offset: number | null
  readonly createdAt: Date
}

const messageOf = ({ broadcast, createdAt, id, offset, text, uid }: MessageRow): Message => ({
  id,
  uid,
  text,
  broadcast: broadcast ?? undefined,
  offset: offset ?? undefined,
  createdAt
})

/** `id` is a float in the result: order by `chat_messages.id`, which the indexes have. */
export function columns(sql: SqlClient.SqlClient) {
  return sql`
    id::float8 as id, uid, text, broadcast_id::float8 as broadcast, stream_offset_ms::float8 as "offset",
    created_at as "createdAt"`
}

/** Messages of rows with `columns`. */
export function messagesOf(rows: ReadonlyArray<MessageRow>): ReadonlyArray<Message> {
  return rows.map(messageOf)
}
