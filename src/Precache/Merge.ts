/** Makes one artifact: composed inside the store where it can be, else streamed through this process. */
import { Clock, DateTime, Duration, Effect, Exit, Option, Schema, type Scope, Stream } from "effect"
import { SecureRandom } from "effect/crypto"
import { Wav } from "../Audio.ts"
import { type Saturated, StorageBulkheads } from "../Bulkhead.ts"
import type { DbError } from "../Db.ts"
import { anyGeneration, Deletion } from "../Deletion.ts"
import { type AudioMissing, type AudioUnreadable, contentTypes, etagOf, Playback, type Rendition } from "../Playback.ts"
import type { CodecFailed } from "../Opus.ts"
import type { AudioFileChanged } from "../Recording.ts"
import { type ObjectHead, Storage, type StorageError, StorageUnavailable } from "../Storage.ts"
import type { LeaseEnded } from "../FairClaims.ts"
import { ArtifactRows, type ClaimedArtifact } from "./ArtifactRows.ts"
import * as Composition from "./Composition.ts"
import * as Plan from "./Plan.ts"
import { PrecacheConfig } from "./PrecacheConfig.ts"

/** Chunks that are read at once; the others are read when the first of these have been written. */
const window = 8

/** Time after which a file whose audio is not stored yet is checked again. */
const recheckAfter = Duration.seconds(30)

export class EmptyAudio extends Schema.TaggedError<EmptyAudio>()("EmptyAudio", { file: Schema.String }) {
  override get message() {
    return `the audio file ${this.file} has no recorded audio`
  }
}

/** The disk of the store would have less free space than merges leave to recordings. */
export class DiskReserved extends Schema.TaggedError<DiskReserved>()("DiskReserved", {
  key: Schema.String,
  bytes: Schema.Finite,
  free: Schema.Finite,
  reserve: Schema.Finite
}) {
  override get message() {
    return `${this.bytes} bytes for ${this.key} would leave less than ${this.reserve} of the ${this.free} bytes that are free on the disk`
  }
}

export type Failure =
  | Composition.Failure
  | AudioFileChanged
  | AudioMissing
  | AudioUnreadable
  | CodecFailed
  | DiskReserved
  | EmptyAudio
  | LeaseEnded
  | Saturated
  | StorageError
  | DbError

/** `kept`: it existed. `waiting`: audio is not stored yet. `skipped`: it is not to be merged. `gone`: there is no such file. */
export type Outcome = "composed" | "streamed" | "kept" | "waiting" | "skipped" | "gone"

type ReadFailure = Effect.Error<ReturnType<Rendition["begin"]>>

export interface Merged {
  readonly outcome: Outcome
  readonly bytes: number
}

const none = (outcome: Outcome): Merged => ({ outcome, bytes: 0 })

/** WAV, in slices whose reads overlap. */
const concurrently = ({ begin, file }: Rendition) => {
  const read = Effect.fnUntraced(function* (range: Wav.Range) {
    const { first, next } = yield* begin(range)
    const pieces = [...first]
    for (let more = yield* next; more !== undefined; more = yield* next) pieces.push(...more)
    return pieces
  }, Effect.scoped)
  return Plan.slices(file).pipe(Stream.mapEffect(read, { concurrency: window }), Stream.flattenIterable)
}

/** Any rendition, one read after another. */
const inTurn = ({ begin, size = Infinity }: Rendition) =>
  Stream.unwrap(
    Effect.map(begin({ start: 0, end: size }), ({ first, next }) => {
      const rest = Stream.unfold(undefined, () =>
        Effect.map(next, (pieces) => (pieces === undefined ? undefined : ([pieces, undefined] as const)))
      )
      return Stream.flattenIterable(Stream.concat(Stream.succeed(first), rest))
    })
  )

export const make = Effect.gen(function* () {
  const playback = yield* Playback
  const storage = yield* Storage
  const deletion = yield* Deletion
  const rows = yield* ArtifactRows
  const config = yield* PrecacheConfig
  const clock = yield* Clock.Clock
  const { write } = yield* StorageBulkheads
  const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

  /** Schedules the deletion of an object before it is made. */
  const announce = (key: string, uid: string, after: Duration.Duration) =>
    Effect.as(deletion.schedule([{ key, uid, generation: anyGeneration }], { after }), key)

  const compose = Effect.fnUntraced(function* (
    { uid }: ClaimedArtifact,
    { file }: Rendition,
    target: Pick<ObjectHead, "key" | "contentType" | "metadata">,
    temporaries: Array<string>
  ) {
    const next = Effect.suspend(() => {
      const key = `${target.key.replace(/\.wav$/, "")}-${temporaries.length}.part`
      temporaries.push(key)
      return announce(key, uid, config.temporary)
    })
    const composition = Composition.make(storage, write, uid, next)
    yield* Plan.compose(file, composition)
    return yield* composition.finish(target)
  })

  /** Bytes of the merges that are being put. What they have written of them is counted twice. */
  let promised = 0

  const within = Effect.fnUntraced(function* <A, E>(key: string, bytes: number, put: Effect.Effect<A, E>) {
    const free = (yield* storage.freeBytes) - promised
    if (free - bytes < config.reserve) return yield* new DiskReserved({ key, bytes, free, reserve: config.reserve })
    promised += bytes
    return yield* Effect.ensuring(
      put,
      Effect.sync(() => {
        promised -= bytes
      })
    )
  })

  /** The failure of a read passes the store as an unavailability, and returns as itself. */
  const stream = Effect.fnUntraced(function* (
    rendition: Rendition,
    target: Pick<ObjectHead, "key" | "contentType" | "metadata">
  ) {
    const whole = rendition.format === "wav" ? concurrently(rendition) : inTurn(rendition)
    // Two reads of the same snapshot have the same bytes.
    const size =
      rendition.size ??
      (yield* Stream.runFold(
        whole,
        () => 0,
        (sum, { length }) => sum + length
      ))
    let failed: ReadFailure | undefined
    const bytes = whole.pipe(
      Stream.mapError((cause) => {
        failed = cause
        return new StorageUnavailable({ operation: "read", bucket: storage.bucket, key: target.key, cause })
      })
    )
    const put = storage
      .put({ ...target, body: { size, stream: bytes } })
      .pipe(Effect.mapError((error): StorageError | ReadFailure => failed ?? error))
    return yield* within(target.key, size, put)
  })

  const made = Effect.fnUntraced(function* (
    claimed: ClaimedArtifact,
    rendition: Rendition,
    way: "composed" | "streamed",
    begun: number
  ) {
    const { conversation, file, format, uid } = claimed
    const hex = SecureRandom.uuidV4Unsafe().slice(0, 8)
    const key = `merged/${uid}/${conversation}/${file}-${hex}.${format}`
    const expires = DateTime.addDuration(yield* DateTime.now, config.timeToLive)
    const fingerprint = etagOf(rendition.file, format)
    const target = {
      key,
      contentType: contentTypes[format],
      metadata: { expires_at: DateTime.formatIso(expires), fingerprint }
    }
    const temporaries: Array<string> = []
    const discard = (keys: ReadonlyArray<string>) =>
      Effect.ignore(
        deletion.schedule(
          keys.map((key) => ({ key, uid, generation: anyGeneration })),
          { after: config.settle }
        )
      )
    yield* announce(key, uid, config.timeToLive)
    const making: Effect.Effect<ObjectHead, Failure, Scope.Scope> =
      way === "composed" ? compose(claimed, rendition, target, temporaries) : stream(rendition, target)
    const head = yield* making.pipe(
      Effect.onExit((exit) => discard(Exit.isSuccess(exit) ? temporaries : [...temporaries, key]))
    )
    const expiresIn = Duration.subtract(config.timeToLive, Duration.millis(now() - begun))
    // A failure of the database leaves it unknown whether the row has the key, so only the tombstone deletes the object.
    yield* rows
      .publish(claimed, { key, fingerprint, bytes: head.size, expiresIn })
      .pipe(Effect.tapErrorTag("LeaseEnded", () => discard([key])))
    return { outcome: way, bytes: head.size } satisfies Merged
  })

  const merge = Effect.fnUntraced(function* (claimed: ClaimedArtifact): Effect.fn.Return<Merged, Failure> {
    const begun = now()
    const { format } = claimed
    const found = yield* playback.open(claimed.uid, claimed.conversation, claimed.file, format)
    if (Option.isNone(found)) return yield* Effect.as(rows.forget(claimed), none("gone"))
    const rendition = found.value
    if (etagOf(rendition.file, format) === claimed.fingerprint)
      return yield* Effect.as(rows.keep(claimed), none("kept"))
    const plan = yield* Plan.of(rendition.file)
    if (!plan.isStored) return yield* Effect.as(rows.postpone(claimed, recheckAfter), none("waiting"))
    if (plan.isEmpty) return yield* new EmptyAudio({ file: claimed.file })
    const isComposed = format === "wav" && storage.isComposer && plan.isComposable
    // A merged file is not encrypted. One that passes through this process is made on request only.
    if (plan.isEncrypted || !(isComposed || claimed.requested))
      return yield* Effect.as(rows.forget(claimed), none("skipped"))
    const streamed = made(claimed, rendition, "streamed", begun)
    const composed = Effect.catchTag(made(claimed, rendition, "composed", begun), "StorageRefused", (refused) =>
      claimed.requested ? streamed : Effect.fail(refused)
    )
    return yield* Effect.scoped(isComposed ? composed : streamed)
  })

  return merge
})
