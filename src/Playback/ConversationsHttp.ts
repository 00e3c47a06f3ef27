/** `/v1/conversations` over HTTP. */
import { DateTime, Effect, Layer, Option } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Wav } from "../Audio.ts"
import { Principal, Problem, Problems } from "../Http.ts"
import { type AudioFileHead, Playback, type RecordedHead } from "../Playback.ts"
import { type AudioFileInfo, type ConversationInfo, ConversationsApi } from "./ConversationsApi.ts"

const standardLimit = 20

const dateOf = (seconds: number): DateTime.Utc => DateTime.makeUnsafe(Math.round(seconds * 1000))

const sum = (files: ReadonlyArray<AudioFileHead>, of: "capturedSamples" | "lostSamples"): number =>
  files.reduce((seconds, file) => seconds + file[of] / file.sampleRate, 0)

const end = (file: AudioFileHead): number => file.start + file.samples / file.sampleRate

/** To the microsecond: sums of doubles have tails that mean nothing. */
const seconds = (value: number): number => Math.round(value * 1e6) / 1e6

const fileInfo = (file: AudioFileHead): typeof AudioFileInfo.Type => ({
  id: file.id,
  started_at: dateOf(file.start),
  duration: seconds(file.samples / file.sampleRate),
  codec: file.codec,
  sample_rate: file.sampleRate,
  bytes: Wav.size(file, "wav")
})

export const info = ({ conversation, files }: RecordedHead): typeof ConversationInfo.Type => {
  const first = files[0]
  const duration = first === undefined ? 0 : Math.max(...files.map(end)) - first.start
  return {
    id: conversation.id,
    uid: conversation.uid,
    live: conversation.live,
    started_at: first === undefined ? null : dateOf(first.start),
    finished_at: Option.getOrNull(Option.map(conversation.finishedAt, DateTime.fromDateUnsafe)),
    duration: seconds(duration),
    captured_duration: seconds(sum(files, "capturedSamples")),
    lost_seconds: seconds(sum(files, "lostSamples")),
    clock_shifts: conversation.clockShifts,
    audio_files: files.map(fileInfo)
  }
}

const group = HttpApiBuilder.group(
  ConversationsApi,
  "conversations",
  Effect.fn(function* (handlers) {
    const playback = yield* Playback
    const { answer } = yield* Problems
    return handlers.handleAll({
      list: Effect.fnUntraced(function* ({ query: { before, limit = standardLimit } }) {
        const { uid } = yield* Principal
        const page = yield* answer(playback.conversations(uid, { limit, ...(before === undefined ? {} : { before }) }))
        return { conversations: page.conversations.map(info), next: page.next ?? null }
      }),
      get: Effect.fnUntraced(function* ({ params: { id } }) {
        const { uid } = yield* Principal
        const found = yield* answer(playback.conversation(uid, id))
        if (Option.isNone(found)) return yield* Problem.notFound("There is no conversation of this id.")
        return info(found.value)
      })
    })
  })
)

export const layer = HttpApiBuilder.layer(ConversationsApi).pipe(Layer.provide(group))
