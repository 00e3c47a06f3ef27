/** `/v1/conversations`. */
import { DateTime, Effect, Layer, Option } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Wav } from "../Audio.ts"
import { Problem, ProblemRules } from "../Http.ts"
import { Principal } from "../Auth.ts"
import { Playback } from "../Playback.ts"
import type { AudioFileHead, Conversation } from "../Recording.ts"
import { type AudioFileInfo, type ConversationInfo, ConversationsApi } from "./ConversationsApi.ts"

const defaultLimit = 20

export function dateOf(unixSeconds: number): DateTime.Utc {
  return DateTime.makeUnsafe(Math.round(unixSeconds * 1000))
}

/** Rounded to microseconds, which removes the rounding errors of sums. */
export function seconds(value: number): number {
  return Math.round(value * 1e6) / 1e6
}

const fileInfo = (file: AudioFileHead): typeof AudioFileInfo.Type => ({
  id: file.id,
  started_at: dateOf(file.start),
  duration: seconds(file.samples / file.sampleRate),
  codec: file.codec,
  sample_rate: file.sampleRate,
  bytes: Wav.size(file, "wav")
})

export function info(conversation: Conversation): typeof ConversationInfo.Type {
  const { span } = conversation
  return {
    id: conversation.id,
    uid: conversation.uid,
    live: conversation.live,
    started_at: span === undefined ? null : dateOf(span.start),
    finished_at: Option.getOrNull(Option.map(conversation.finishedAt, DateTime.fromDateUnsafe)),
    duration: span === undefined ? 0 : seconds(span.end - span.start),
    captured_duration: seconds(conversation.capturedSeconds),
    lost_seconds: seconds(conversation.lostSeconds),
    clock_shifts: conversation.clockShifts,
    audio_files: conversation.files.map(fileInfo),
    files_next: conversation.filesNext ?? null
  }
}

const group = HttpApiBuilder.group(
  ConversationsApi,
  "conversations",
  Effect.fn(function* (handlers) {
    const playback = yield* Playback
    const { answer } = yield* ProblemRules
    return handlers.handleAll({
      list: Effect.fnUntraced(function* ({ query: { before, limit = defaultLimit } }) {
        const { uid } = yield* Principal
        const page = yield* answer(playback.conversations(uid, { limit, ...(before === undefined ? {} : { before }) }))
        return { conversations: page.conversations.map(info), next: page.next ?? null }
      }),
      get: Effect.fnUntraced(function* ({ params: { id }, query: { files_before: before } }) {
        const { uid } = yield* Principal
        const found = yield* answer(playback.conversation(uid, id, before === undefined ? {} : { before }))
        if (Option.isNone(found)) return yield* Problem.notFound("There is no conversation with this id.")
        return info(found.value)
      })
    })
  })
)

export const layer = HttpApiBuilder.layer(ConversationsApi).pipe(Layer.provide(group))
