/** Merges audio files into objects that clients download from the store by signed URL. */
import { Context, Effect, Layer, Metric, Option } from "effect"
import { inBackground } from "./Bulkhead.ts"
import type { DbError } from "./Db.ts"
import * as DurationHistogram from "./DurationHistogram.ts"
import { ArtifactRows, type ClaimedArtifact, type Format, maxFiles } from "./Precache/ArtifactRows.ts"
import * as ArtifactUrls from "./Precache/ArtifactUrls.ts"
import { ConversationEnds } from "./Precache/ConversationEnds.ts"
import * as Merge from "./Precache/Merge.ts"
import { PrecacheConfig } from "./Precache/PrecacheConfig.ts"
import { etagOf, type Reason } from "./Playback.ts"
import { type RecordedFile, Recording } from "./Recording.ts"
import * as FairClaims from "./FairClaims.ts"

export interface Progress {
  /** Files that are being merged, or are to be. */
  readonly merging: number
  /** Why the last attempt failed at one of them, which is repeated. */
  readonly failing: Reason | undefined
  /** Why one was given up. */
  readonly dead: Reason | undefined
}

export class Precache extends Context.Service<
  Precache,
  FairClaims.Worker.Worker & {
    /** Merges the latest 1,000 audio files of a conversation that are not merged yet. Returns how many it has; none without it. */
    request(uid: string, conversation: string, format: Format): Effect.Effect<Option.Option<number>, DbError>
    /** How far the merges of the latest 1,000 audio files are. Those that are not to be merged count as merged. */
    progress(uid: string, conversation: string, format: Format): Effect.Effect<Progress, DbError>
    /** Requests what was recorded in conversations that have ended; returns how many it has checked. */
    readonly settle: ConversationEnds["Service"]["settle"]
    readonly end: ConversationEnds["Service"]["end"]
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

const reasonOf = (failure: { readonly _tag: string }): Reason =>
  failure._tag === "AudioMissing" || failure._tag === "ObjectNotFound" ? "chunks_missing" : "merge_failed"

const make = Effect.gen(function* () {
  const rows = yield* ArtifactRows
  const ends = yield* ConversationEnds
  const recording = yield* Recording
  const config = yield* PrecacheConfig
  const merge = yield* Merge.make
  yield* Metric.update(permits, config.permits)

  const work = (claimed: ClaimedArtifact) =>
    inBackground(merge(claimed)).pipe(
      Effect.timeout(config.deadline),
      Effect.tap(({ bytes }) => Metric.update(mergedBytes, bytes)),
      Effect.map(({ outcome }) => outcome),
      Effect.catchTag("EmptyAudio", () => Effect.as(rows.giveUp(claimed, "empty_audio"), "dead"))
    )

  const worker = yield* FairClaims.Worker.make({
    subject: "the merge of an audio file",
    turns: rows,
    maxRunning: config.permits,
    work,
    fail: (claimed, failure) => rows.fail(claimed, reasonOf(failure), failure.message),
    annotations: ({ conversation, file, uid }) => ({ uid, conversation, file }),
    outcomes: merges,
    seconds: mergeSeconds,
    active
  })

  return Precache.of({
    ...worker,
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
      if (started > 0) yield* worker.requested
      return Option.some(files.length)
    }),
    progress: Effect.fn("Precache.progress")(function* (uid, conversation, format) {
      const known = yield* rows.list(uid, conversation, format)
      const wanted = known.filter(({ isWanted }) => isWanted)
      const reasonIn = (all: typeof known) => all.find(({ reason }) => reason !== null)?.reason ?? undefined
      return {
        merging: wanted.length,
        failing: reasonIn(wanted),
        dead: reasonIn(known.filter(({ isWanted }) => !isWanted))
      }
    }),
    settle: ends.settle,
    end: (uid, conversation) => Effect.andThen(ends.end(uid, conversation), worker.requested)
  })
})
