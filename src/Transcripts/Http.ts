/** `/v1/conversations/{id}/transcript`. */
import { Effect, Layer, Option, Schema, Stream } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Principal } from "../Auth.ts"
import { Problem, ProblemRules, ResponseBody } from "../Http.ts"
import { type Place, type StoredSegment, Transcripts } from "../Transcripts.ts"
import { SegmentInfo, TranscriptsApi } from "./Api.ts"

const defaultLimit = 100

const segmentInfo = Schema.decodeUnknownSync(Schema.fromJsonString(SegmentInfo))

const infos = (segments: ReadonlyArray<StoredSegment>) => segments.map(({ json }) => segmentInfo(json))

const cursorOf = ({ id, start }: Place) => `${start}_${id}`

const placeOf = (cursor: string): Place => {
  const at = cursor.indexOf("_")
  return { start: Number(cursor.slice(0, at)), id: cursor.slice(at + 1) }
}

/** Of an event; none if a browser sends what was no revision. */
const revisionIn = (id: string | undefined) => (id !== undefined && /^\d{1,15}$/.test(id) ? Number(id) : undefined)

const unreadable = new Problem({
  status: 500,
  code: "transcript-unreadable",
  title: "The transcript can't be read",
  detail: "It is damaged, or encrypted with a secret that is not among SPILLWAY_MASTER_SECRETS."
})

const missing = Problem.notFound("There is no conversation with this id.")

const group = HttpApiBuilder.group(
  TranscriptsApi,
  "transcript",
  Effect.fn(function* (handlers) {
    const transcripts = yield* Transcripts
    const { answer } = yield* ProblemRules
    return handlers.handleAll({
      read: Effect.fnUntraced(function* ({ params: { id }, query: { after, from = -Infinity, limit = defaultLimit } }) {
        const { uid } = yield* Principal
        const page = { from, after: after === undefined ? undefined : placeOf(after), limit }
        const found = yield* answer(
          Effect.catchTag(transcripts.page(uid, id, page), "DecryptionFailed", () => unreadable)
        )
        if (Option.isNone(found)) return yield* missing
        const { next, revision, segments } = found.value
        return { segments: infos(segments), next: next === undefined ? null : cursorOf(next), revision }
      }),
      events: Effect.fnUntraced(function* ({ headers: { "last-event-id": last }, params: { id }, query: { since } }) {
        const { uid } = yield* Principal
        const found = yield* answer(transcripts.events(uid, id, { since: revisionIn(last) ?? since, by: uid }))
        if (Option.isNone(found)) return yield* missing
        yield* ResponseBody.unbuffered
        return Stream.map(found.value, ({ revision, segments }) => ({
          id: String(revision),
          event: "message" as const,
          data: { segments: infos(segments) }
        }))
      })
    })
  })
)

export const layer = HttpApiBuilder.layer(TranscriptsApi).pipe(Layer.provide(group))
