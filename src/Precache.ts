/** Merges audio files into objects that clients download from the store by signed URL. */
import { Context, Duration, Effect, FiberSet, Layer, Metric, Option, Queue, Semaphore } from "effect"
import { inBackground } from "./Bulkhead.ts"
import * as Claims from "./Claims.ts"
import type { DbError } from "./Db.ts"
import * as DurationHistogram from "./DurationHistogram.ts"
import { type ClaimedArtifact, type Format, lapsedError } from "./Precache/ArtifactClaims.ts"
import { ArtifactRows, maxFiles } from "./Precache/ArtifactRows.ts"
import * as ArtifactUrls from "./Precache/ArtifactUrls.ts"
import { ConversationEnds } from "./Precache/ConversationEnds.ts"
import * as Merge from "./Precache/Merge.ts"
import { PrecacheConfig } from "./Precache/PrecacheConfig.ts"
import { etagOf, type Reason } from "./Playback.ts"
import { type RecordedFile, Recording } from "./Recording.ts"

export class Precache extends Context.Service<
  Precache,
  {
    /** Merges the latest 1,000 audio files of a conversation that are not merged yet. Returns how many it has; none without it. */
    request(uid: string, conversation: string, format: Format): Effect.Effect<Option.Option<number>, DbError>
    /** Takes the next user's turn and starts to make an artifact; 0 if no turn is due. Waits while this node makes as many as its bound. */
    readonly sweep: Effect.Effect<number, DbError>
    readonly idle: Effect.Effect<void>
    /** Waits until this node requests an artifact, at most `limit`. */
    waitForRequest(limit: Duration.Duration): Effect.Effect<void>
    /** Requests what was recorded in conversations that have ended; returns how many it has checked. */
    readonly settle: ConversationEnds["Service"]["settle"]
    readonly end: ConversationEnds["Service"]["end"]
    readonly prune: ArtifactRows["Service"]["prune"]
    readonly backlog: ArtifactRows["Service"]["backlog"]
  }
>()("spillway/Precache") {
  static readonly layerNoDeps = Layer.effect(
    Precache,
    Effect.suspend(() => make)
  )
  static readonly layer = this.layerNoDeps.pipe(
    Layer.merge(ArtifactUrls.layer),
    Layer.provide(ConversationEnds.layer),
    Layer.provide(ArtifactRows.layer)
  )
}

const requests = Metric.counter("spillway_precache_requests_total", {
  description: "Audio files whose merging was requested, by outcome: hit (merged), joined (being merged), miss",
  incremental: true
})
const merges = Metric.counter("spillway_precache_merges_total", {
  description:
    "Merges of audio files by outcome: composed (in the store), streamed, kept (it existed), waiting (for audio to be stored), skipped, gone, failed (retried with backoff), dead (given up), lost (to another node)",
  incremental: true
})
const mergedBytes = Metric.counter("spillway_precache_bytes_total", {
  description: "Bytes of merged audio files",
  incremental: true
})
const mergeSeconds = DurationHistogram.make("spillway_precache_seconds", "Duration of the merge of an audio file")
const permits = Metric.gauge("spillway_precache_permits", {
  description: "Audio files that this node merges at a time at most"
})
const active = Metric.gauge("spillway_precache_active", { description: "Audio files that this node merges now" })

/** Time in which an interrupted merge returns its claim. Without that it fails, when its lease ends. */
const releaseLimit = Duration.seconds(2)

const reasonOf = (failure: { readonly _tag: string }): Reason =>
  failure._tag === "AudioMissing" || failure._tag === "ObjectNotFound" ? "chunks_missing" : "merge_failed"

const make = Effect.gen(function* () {
  const rows = yield* ArtifactRows
  const ends = yield* ConversationEnds
  const recording = yield* Recording
  const config = yield* PrecacheConfig
  const merge = yield* Merge.make
  const slots = yield* Semaphore.make(config.permits)
  yield* Metric.update(permits, config.permits)
  const running = yield* FiberSet.make<void>()
  const requested = yield* Queue.sliding<void>(1)
  let merging = 0

  /** Fails when the lease has ended. */
  const keepLease = (claimed: ClaimedArtifact) =>
    rows.extend(claimed).pipe(
      // The database may answer the next time, before the lease ends.
      Effect.catchTag(["DbUnavailable", "DbTimeout", "DbBusy"], () => Effect.void),
      Effect.delay(Claims.extendEvery),
      Effect.forever
    )

  const logFailure = (
    { conversation, file, uid }: ClaimedArtifact,
    outcome: "failed" | "dead",
    reason: Reason,
    error: string
  ) => {
    const message =
      outcome === "dead"
        ? "the merge of an audio file has failed 20 times and is given up"
        : "the merge of an audio file has failed and is retried with backoff"
    return Effect.annotateLogs(Effect.logWarning(message), { uid, conversation, file, reason, error })
  }

  const fail = Effect.fnUntraced(function* (claimed: ClaimedArtifact, reason: Reason, error: string) {
    const outcome = yield* rows.fail(claimed, reason, error)
    if (outcome !== "lost") yield* logFailure(claimed, outcome, reason, error)
    return { outcome, bytes: 0 }
  })

  const outcomeOf = (claimed: ClaimedArtifact) =>
    Effect.raceFirst(inBackground(merge(claimed)), keepLease(claimed)).pipe(
      Effect.timeout(config.deadline),
      Effect.catchTags({
        LeaseEnded: () => Effect.succeed({ outcome: "lost", bytes: 0 }),
        EmptyAudio: () => Effect.as(rows.giveUp(claimed, "empty_audio"), { outcome: "dead", bytes: 0 })
      }),
      Effect.catch((failure) => fail(claimed, reasonOf(failure), failure.message)),
      Effect.catchDefect((defect) =>
        Effect.andThen(
          Effect.logError("the merge of an audio file has ended with a defect", defect),
          fail(claimed, "merge_failed", String(defect))
        )
      )
    )

  const count = (more: number) =>
    Effect.suspend(() => {
      merging += more
      return Metric.update(active, merging)
    })

  const lapsed = (artifact: ClaimedArtifact, outcome: "failed" | "dead") =>
    Effect.andThen(
      logFailure(artifact, outcome, "merge_failed", lapsedError),
      Metric.update(Metric.withAttributes(merges, { outcome }), 1)
    )

  const runOne = (claimed: ClaimedArtifact) =>
    Effect.gen(function* () {
      const { bytes, outcome } = yield* outcomeOf(claimed)
      yield* Metric.update(Metric.withAttributes(merges, { outcome }), 1)
      yield* Metric.update(mergedBytes, bytes)
    }).pipe(
      DurationHistogram.track(mergeSeconds),
      Effect.onInterrupt(() =>
        rows.release(claimed).pipe(Effect.interruptible, Effect.timeoutOption(releaseLimit), Effect.ignore)
      ),
      Effect.catchCause((cause) =>
        Effect.logWarning("the merge of an audio file is repeated after its lease", cause).pipe(
          Effect.annotateLogs({ uid: claimed.uid, conversation: claimed.conversation, file: claimed.file })
        )
      ),
      Effect.ensuring(Effect.andThen(slots.release(1), count(-1)))
    )

  const sweep = Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      yield* restore(slots.take(1))
      const turn = yield* restore(rows.claim).pipe(Effect.onError(() => slots.release(1)))
      if (Option.isNone(turn)) return yield* Effect.as(slots.release(1), 0)
      if (turn.value?.outcome !== "claimed") {
        yield* slots.release(1)
        if (turn.value !== undefined) yield* lapsed(turn.value.artifact, turn.value.outcome)
        return 1
      }
      yield* count(1)
      yield* FiberSet.run(running, restore(runOne(turn.value.artifact)), { propagateInterruption: false })
      return 1
    })
  )

  return Precache.of({
    request: Effect.fn("Precache.request")(function* (uid, conversation, format) {
      const found = yield* recording.files(uid, conversation, { files: maxFiles })
      if (Option.isNone(found)) return Option.none()
      const { files } = found.value
      const known = new Map((yield* rows.list(uid, conversation, format)).map((artifact) => [artifact.file, artifact]))
      const stateOf = (file: RecordedFile) => {
        const artifact = known.get(file.id)
        if (artifact?.fingerprint === etagOf(file, format)) return "hit"
        return artifact?.isWanted === true ? "joined" : "miss"
      }
      const outcomes = files.map(stateOf)
      const merged = files.filter((_, n) => outcomes[n] !== "hit").map(({ id }) => id)
      const started = merged.length === 0 ? 0 : yield* rows.request({ uid, conversation, files: merged, format })
      for (const outcome of outcomes) yield* Metric.update(Metric.withAttributes(requests, { outcome }), 1)
      if (started > 0) yield* Queue.offer(requested, undefined)
      return Option.some(files.length)
    }),
    sweep,
    idle: FiberSet.awaitEmpty(running),
    waitForRequest: (limit) => Effect.asVoid(Effect.timeoutOption(Queue.take(requested), limit)),
    settle: ends.settle,
    end: (uid, conversation) =>
      Effect.andThen(ends.end(uid, conversation), Effect.asVoid(Queue.offer(requested, undefined))),
    prune: rows.prune,
    backlog: rows.backlog
  })
})
