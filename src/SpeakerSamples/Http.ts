/** `/v1/users/{uid}/speaker-samples`. */
import { DateTime, Effect, Layer } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { authorizeFor, Principal } from "../Auth.ts"
import { Problem, ProblemRules } from "../Http.ts"
import { ListenerSeats } from "../Playback.ts"
import { type SampleRow, SpeakerSamples } from "../SpeakerSamples.ts"
import { type SpeakerSampleInfo, SpeakerSamplesApi } from "./Api.ts"

const defaultLimit = 20

const missing = Problem.notFound("There is no speaker sample with this id.")

const unreadable = new Problem({
  status: 500,
  code: "speaker-sample-unreadable",
  title: "The speaker sample can't be read",
  detail: "It is damaged, or encrypted with a secret that the server does not have. The reason is in the server's log."
})

const info = (row: SampleRow): typeof SpeakerSampleInfo.Type => {
  const status = row.isWaiting ? "waiting" : row.key === null ? "failed" : "stored"
  return {
    id: row.id,
    person_id: row.person,
    conversation_id: row.conversation,
    status,
    reason: status === "failed" ? (row.outcome ?? "processing_failed") : null,
    requested_at: DateTime.fromDateUnsafe(row.requestedAt),
    duration: row.seconds,
    bytes: row.bytes
  }
}

const group = HttpApiBuilder.group(
  SpeakerSamplesApi,
  "speakerSamples",
  Effect.fn(function* (handlers) {
    const samples = yield* SpeakerSamples
    const seats = yield* ListenerSeats
    const { answer } = yield* ProblemRules
    return handlers.handleAll({
      list: Effect.fnUntraced(function* ({ params: { uid }, query: { before, limit = defaultLimit, person } }) {
        yield* authorizeFor(uid)
        const found = yield* answer(samples.list({ uid, person, before, limit: limit + 1 }))
        const page = found.slice(0, limit)
        return { samples: page.map(info), next: found.length > limit ? (page.at(-1)?.id ?? null) : null }
      }),
      play: Effect.fnUntraced(function* ({ params: { id, uid } }) {
        yield* authorizeFor(uid)
        yield* answer(seats.take((yield* Principal).uid))
        const wav = samples.wav(uid, id).pipe(
          Effect.catchTag(["SampleNotFound", "ObjectNotFound"], () => missing),
          Effect.catchTag(["DecryptionFailed", "ObjectDamaged"], (cause) =>
            Effect.andThen(Effect.logError("a speaker sample can't be read", cause), unreadable)
          )
        )
        return yield* answer(wav)
      }),
      remove: Effect.fnUntraced(function* ({ params: { id, uid } }) {
        yield* authorizeFor(uid)
        if (!(yield* answer(samples.remove(uid, id)))) return yield* missing
      })
    })
  })
)

export const layer = HttpApiBuilder.layer(SpeakerSamplesApi).pipe(
  Layer.provide(group),
  Layer.provide(ListenerSeats.layer)
)
