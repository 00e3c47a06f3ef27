/** Requests for speaker samples (105) on capture sockets, as omi's backend sends them. They have no answer. */
import { Duration, Effect, FiberSet, Layer, Metric, Option, Schedule, Schema } from "effect"
import { DbCaller, ingestCaller } from "../Db.ts"
import { Id } from "../Id.ts"
import * as Pusher from "../Pusher.ts"
import { type SampleRequest, SpeakerSamples } from "../SpeakerSamples.ts"

/** A longer text is ignored. */
const maxTextBytes = 128 * 1024

/** Segments of a request; one with more is ignored. */
const maxSegments = 1_000

/** Segments that are kept, the first ones: more than a sample has room for. */
const keptSegments = 200

/** While the database is away, a request is tried again with backoff for this long, and is dropped then. */
const acceptLimit = Duration.minutes(5)
const backoff = Schedule.min([Schedule.exponential("500 millis"), Schedule.spaced("15 seconds")]).pipe(
  Schedule.jittered
)

const requests = Metric.counter("spillway_speaker_sample_requests_total", {
  description:
    "Requests for speaker samples (105) by result: accepted, repeated, refused (at a bound of the user or the person), dropped (the database was away for too long)",
  incremental: true
})

const Request = Schema.fromJsonString(
  Schema.Struct({
    person_id: Id,
    conversation_id: Id,
    segment_ids: Schema.Array(Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(128))).check(
      Schema.isMinLength(1),
      Schema.isMaxLength(maxSegments)
    )
  })
)
const decode = Schema.decodeUnknownOption(Request)

const make = Effect.gen(function* () {
  const samples = yield* SpeakerSamples
  const handlers = yield* Pusher.MessageHandlers
  const fork = yield* FiberSet.makeRuntime<never>()
  /** A request beyond its bounds is dropped. */
  const accepting = yield* Pusher.acceptBulkhead("speaker sample requests")

  const accept = (request: SampleRequest) =>
    samples.request(request).pipe(
      Effect.retry(backoff),
      Effect.timeout(acceptLimit),
      accepting.run(request.uid),
      Effect.catchCause((cause) => {
        const { conversation, person, uid } = request
        const log = Effect.logWarning("a request for a speaker sample could not be recorded, and is dropped", cause)
        return Effect.as(Effect.annotateLogs(log, { uid, conversation, person }), "dropped")
      }),
      Effect.flatMap((result) => Metric.update(Metric.withAttributes(requests, { result }), 1)),
      Effect.provideService(DbCaller, ingestCaller)
    )

  yield* handlers.add(Pusher.Protocol.opcodes.speakerSample, ({ uid }, text) => {
    if (text.length > maxTextBytes) return false
    const request = Option.getOrUndefined(decode(text.toString()))
    if (request === undefined) return false
    const { conversation_id: conversation, person_id: person, segment_ids } = request
    fork(accept({ uid, person, conversation, segments: segment_ids.slice(0, keptSegments) }))
    return true
  })
})

export const layer = Layer.effectDiscard(make)
