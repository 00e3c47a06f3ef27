/** Samples of the voices of persons: cut from the audio of conversations, on request (105), and stored as WAV files. */
import { Context, Duration, Effect, Layer, Metric, Option, Schema, Stream } from "effect"
import { SecureRandom } from "effect/crypto"
import { type Saturated, StorageBulkheads } from "./Bulkhead.ts"
import type { DbError } from "./Db.ts"
import { anyGeneration, Deletion } from "./Deletion.ts"
import * as DurationHistogram from "./DurationHistogram.ts"
import { type DecryptionFailed, Protection } from "./Encryption.ts"
import * as FairClaims from "./FairClaims.ts"
import * as SampleAudio from "./SpeakerSamples/SampleAudio.ts"
import { type ClaimedSample, type Outcome, type SampleRequest, SampleRows } from "./SpeakerSamples/SampleRows.ts"
import { SpeakerSamplesConfig } from "./SpeakerSamples/SpeakerSamplesConfig.ts"
import { type ReadError, roots, Storage } from "./Storage.ts"
import { Users, UsersConfig } from "./Users.ts"

export type { SampleRequest, SampleRow } from "./SpeakerSamples/SampleRows.ts"
export { Outcome } from "./SpeakerSamples/SampleRows.ts"

/** Samples that this node cuts at once, each with its audio in memory; the others wait for a turn. */
const maxRunning = 4

/** Time to cut and store one sample; a slower attempt has failed. */
const deadline = Duration.seconds(60)

/** When the object of an attempt is deleted that has recorded no sample. Longer than the deadline, and than the put of an attempt that was cut off. */
const abandonedAfter = Duration.hours(1)

/** The same of an attempt that knows it. */
const abandonedSoon = Duration.minutes(1)

/** Largest object: the longest sample at the highest rate, encrypted. */
const maxObjectBytes = 4 * 1024 * 1024

/** The user does not exist, or the sample has no audio. */
export class SampleNotFound extends Schema.TaggedError<SampleNotFound>()("SampleNotFound", { id: Schema.String }) {}

export class SpeakerSamples extends Context.Service<
  SpeakerSamples,
  FairClaims.Worker.Worker & {
    /** Makes the request durable. `refused`: too many of the person are stored, or of the user wait. */
    request(request: SampleRequest): Effect.Effect<"accepted" | "repeated" | "refused", DbError>
    readonly list: SampleRows["Service"]["list"]
    /** The WAV file. */
    wav(
      uid: string,
      id: string
    ): Effect.Effect<Uint8Array, DbError | DecryptionFailed | ReadError | Saturated | SampleNotFound>
    readonly remove: SampleRows["Service"]["remove"]
  }
>()("spillway/SpeakerSamples") {
  static readonly layerNoDeps = Layer.effect(
    SpeakerSamples,
    Effect.suspend(() => make)
  )
  static readonly layer = this.layerNoDeps.pipe(Layer.provide([SampleRows.layer, Users.layer]))
}

const outcomes = Metric.counter("spillway_speaker_samples_total", {
  description:
    "Attempts to cut a speaker sample by outcome: stored, waiting (for audio or segments), conversation_not_found, segments_missing, audio_missing, not_allowed, failed (retried with backoff), dead (given up), lost (to another node or a deletion)",
  incremental: true
})
const active = Metric.gauge("spillway_speaker_sample_active", {
  description: "Speaker samples that this node cuts now"
})
const seconds = DurationHistogram.make(
  "spillway_speaker_sample_seconds",
  "Duration of an attempt to cut a speaker sample"
)

const make = Effect.gen(function* () {
  const config = yield* SpeakerSamplesConfig
  const rows = yield* SampleRows
  const users = yield* Users
  const { storeAudio } = yield* UsersConfig
  const storage = yield* Storage
  const deletion = yield* Deletion
  const protection = yield* Protection
  const bulkheads = yield* StorageBulkheads
  const cut = yield* SampleAudio.make

  const deleteIn = (after: Duration.Duration, key: string, uid: string) =>
    deletion.schedule([{ key, uid, generation: anyGeneration }], { after })

  /** Stores the object under a new key. Its tombstone, which comes first, is removed when the row has the key. */
  const store = Effect.fnUntraced(function* (claimed: ClaimedSample, { seconds, wav }: SampleAudio.Sample) {
    const { person, uid } = claimed
    const isEncrypted = (yield* protection.levelOf(uid)) === "enhanced"
    const body = isEncrypted ? yield* protection.encrypt(uid, wav) : wav
    const key = `${uid}/people_profiles/${person}/${SecureRandom.uuidV4Unsafe()}.wav`
    yield* deleteIn(abandonedAfter, key, uid)
    const contentType = isEncrypted ? "application/octet-stream" : "audio/wav"
    yield* storage.put({ key, body, contentType, metadata: {} }).pipe(bulkheads.write.run(uid))
    const sample = { key, isEncrypted, bytes: wav.length, seconds }
    yield* rows
      .complete(claimed, sample)
      .pipe(Effect.tapErrorTag("LeaseEnded", () => deleteIn(abandonedSoon, key, uid)))
    return "stored"
  })

  /** Waits for segments and audio that are not stored yet: another node can have them. */
  const lack = Effect.fnUntraced(function* (claimed: ClaimedSample, outcome: Outcome) {
    if (claimed.age < Duration.toSeconds(config.patience))
      return yield* Effect.as(rows.postpone(claimed, config.recheck), "waiting")
    return yield* Effect.as(rows.end(claimed, outcome), outcome)
  })

  const work = Effect.fnUntraced(function* (claimed: ClaimedSample) {
    const { storeAudio: own } = yield* users.settings(claimed.uid)
    if (!Option.getOrElse(own, () => storeAudio === "yes"))
      return yield* Effect.as(rows.end(claimed, "not_allowed"), "not_allowed")
    const sample = yield* cut(claimed)
    if (typeof sample === "string") return yield* lack(claimed, sample)
    const isPatient = !sample.isWhole && claimed.age < Duration.toSeconds(config.patience)
    return yield* isPatient ? lack(claimed, "audio_missing") : store(claimed, sample)
  }, Effect.timeout(deadline))

  const worker = yield* FairClaims.Worker.make({
    subject: "the cut of a speaker sample",
    turns: rows,
    maxRunning,
    work,
    fail: (claimed, { message }) => rows.fail(claimed, message),
    annotations: ({ conversation, person, uid }) => ({ uid, conversation, person }),
    outcomes,
    seconds,
    active
  })

  return SpeakerSamples.of({
    ...worker,
    request: Effect.fn("SpeakerSamples.request")(function* (request) {
      // Their keys would lie among the objects of others.
      if (roots.includes(request.uid)) return "refused"
      const result = yield* rows.request(request, config.delay)
      if (result === "accepted") yield* worker.requested
      return result
    }),
    list: rows.list,
    wav: Effect.fn("SpeakerSamples.wav")(function* (uid, id) {
      const found = Option.getOrUndefined(yield* rows.find(uid, id))
      if (found === undefined || found.key === null) return yield* new SampleNotFound({ id })
      const { isEncrypted, key } = found
      const body = Stream.mkUint8Array(Stream.limitBytes(storage.get(key), maxObjectBytes, () => Stream.empty))
      const bytes = yield* bulkheads.read.run(uid)(body)
      return isEncrypted ? yield* protection.decrypt(uid, bytes) : bytes
    }),
    remove: rows.remove
  })
})
