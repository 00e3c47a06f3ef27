/** The server's API of conversations. */
import { Effect, Schema } from "effect"
import { HttpClientRequest } from "effect/http"
import * as Client from "./Client.ts"
import type * as Target from "./Target.ts"

const AudioFile = Schema.Struct({
  id: Schema.String,
  started_at: Schema.DateTimeUtcFromString,
  duration: Schema.Finite,
  bytes: Schema.Finite
})
export type AudioFile = typeof AudioFile.Type

const Conversation = Schema.Struct({
  id: Schema.String,
  live: Schema.Boolean,
  started_at: Schema.NullOr(Schema.DateTimeUtcFromString),
  captured_duration: Schema.Finite,
  lost_seconds: Schema.Finite,
  audio_files: Schema.Array(AudioFile),
  files_next: Schema.optional(Schema.NullOr(Schema.String))
})
export type Conversation = typeof Conversation.Type

const Page = Schema.Struct({
  conversations: Schema.Array(Conversation),
  next: Schema.optional(Schema.NullOr(Schema.String))
})

export function path(id: string) {
  return `/v1/conversations/${encodeURIComponent(id)}`
}

/** The conversation with its latest page of audio files, or the page before `before`. */
export function get(target: Target.Server, id: string, before?: string) {
  return Client.json(
    target,
    HttpClientRequest.get(path(id), before === undefined ? {} : { urlParams: { files_before: before } }),
    Conversation
  )
}

export const files = Effect.fnUntraced(function* (target: Target.Server, id: string) {
  const all: Array<AudioFile> = []
  let before: string | undefined
  do {
    const page: Conversation = yield* get(target, id, before)
    all.unshift(...page.audio_files)
    before = page.files_next ?? undefined
  } while (before !== undefined)
  return all
})

/** The largest page that a server returns. */
const maxPage = 100

/** The newest `limit` conversations, newest first, read in pages. `hasMore`: there are older ones. */
export const list = Effect.fnUntraced(function* (target: Target.Server, limit: number) {
  const conversations: Array<Conversation> = []
  let next: string | undefined
  do {
    const page: typeof Page.Type = yield* Client.json(
      target,
      HttpClientRequest.get("/v1/conversations", {
        urlParams: {
          limit: Math.min(maxPage, limit - conversations.length),
          ...(next === undefined ? {} : { before: next })
        }
      }),
      Page
    )
    conversations.push(...page.conversations)
    next = page.next ?? undefined
  } while (next !== undefined && conversations.length < limit)
  return { conversations, hasMore: next !== undefined }
})

export function audioPath(conversation: string, file: string) {
  return `/v1/sync/audio/${encodeURIComponent(conversation)}/${encodeURIComponent(file)}`
}
