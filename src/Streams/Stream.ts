/** A stream: a channel of a user that is live at times. */
import { Schema } from "effect"

/** `unlisted`: for those who know the slug. `private`: for its owner, moderators and admins. */
export const Visibility = Schema.Literals(["public", "unlisted", "private"])
export type Visibility = typeof Visibility.Type

/** Titles and descriptions of streams, and of the recordings of their broadcasts. Titles are trimmed. */
export const Title = Schema.String.check(
  Schema.makeFilter((title) => title.trim() !== "" && title.trim().length <= 255 && !title.includes("\0"), {
    expected: "1 to 255 characters, not only spaces"
  })
)
export const Description = Schema.String.check(
  Schema.makeFilter((text) => text.length <= 5_000 && !text.includes("\0"), { expected: "at most 5,000 characters" })
)

/** The longest slow mode. */
export const maxSlowModeSeconds = 120

/** `slow_mode_seconds`: least time between two messages of a user. What is left out is kept. */
export const ChatChanges = Schema.Struct({
  enabled: Schema.optionalKey(Schema.Boolean),
  slow_mode_seconds: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: maxSlowModeSeconds })))
}).annotate({ identifier: "ChatChanges" })

/** Whether a stream can have this slug. */
export function isSlug(text: string): boolean {
  return /^[a-z0-9](?:[a-z0-9-]{1,62})[a-z0-9]$/.test(text)
}

/** A time in which a stream is live. Its audio is one conversation of the stream's owner. */
export interface Broadcast {
  /** Counts from 1 in its stream. */
  readonly id: number
  readonly conversation: string
  readonly startedAt: Date
  /** Since when no capture feeds it. It ends when none comes back in time. */
  readonly leftAt: Date | undefined
}

export interface Stream {
  readonly id: number
  /** The owner. */
  readonly uid: string
  readonly slug: string
  readonly title: string
  readonly description: string
  readonly visibility: Visibility
  readonly chatEnabled: boolean
  readonly slowModeSeconds: number
  /** Higher after each change of its fields. */
  readonly revision: number
  readonly createdAt: Date
  /** None while it is not live. */
  readonly live: Broadcast | undefined
}

export type Fields = Pick<Stream, "slug" | "title" | "description" | "visibility" | "chatEnabled" | "slowModeSeconds">

/** What a user is to a stream that it may read. Moderators of a private stream are readers here. */
export type Role = "owner" | "admin" | "reader"

export interface StreamFor {
  readonly stream: Stream
  readonly role: Role
}
