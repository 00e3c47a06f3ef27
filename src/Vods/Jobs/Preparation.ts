/** Prepares a VOD: its audio files are merged for download, and it is ready. One step at a time: nothing waits in memory. */
import { Duration, Effect, Option } from "effect"
import type { DbError } from "../../Db.ts"
import type { LeaseEnded } from "../../FairClaims.ts"
import { Playback } from "../../Playback.ts"
import { Precache } from "../../Precache.ts"
import type { Conversation } from "../../Recording.ts"
import { type ClaimedJob, JobRows } from "./JobRows.ts"
import type { FailureReason, Format } from "../Vod.ts"

/** Pause between steps, in the first minute and after it. */
const firstPause = Duration.seconds(1)
const laterPause = Duration.seconds(10)
const firstSeconds = 60

/** Time for the first audio of a broadcast to be in the index. */
const indexSeconds = 60

/** Time for all audio of a broadcast to be stored. After it, the VOD is made of what there is: its node may never come back. */
const storeSeconds = 3_600

/** By how much the ends of the same audio may differ, because they are rounded. */
const roundingSeconds = 0.01

/** A VOD with a merge that still fails this long after its request has failed. The merge is attempted further. */
const retrySeconds = 600

/** A VOD that is not ready after this time has failed: most likely its audio was not stored. */
const deadlineSeconds = 86_400

/** `abandoned`: the VOD has failed. */
export type Outcome = "ready" | "abandoned" | "waiting"

const reasons = {
  chunks_missing: "audio_missing",
  merge_failed: "merge_failed",
  empty_audio: "no_audio"
} as const

const formatOf = ({ files }: Conversation): Format => (files.every(({ codec }) => codec === "opus") ? "ogg" : "wav")

const durationOf = ({ files }: Conversation): number =>
  files.reduce((sum, { sampleRate, samples }) => sum + samples / sampleRate, 0)

export const make = Effect.gen(function* () {
  const rows = yield* JobRows
  const playback = yield* Playback
  const precache = yield* Precache

  const wait = (job: ClaimedJob) =>
    Effect.as(rows.postpone(job, job.seconds < firstSeconds ? firstPause : laterPause), "waiting" as const)
  const abandon = (job: ClaimedJob, reason: FailureReason) => Effect.as(rows.abandon(job, reason), "abandoned" as const)

  return Effect.fnUntraced(function* (job: ClaimedJob): Effect.fn.Return<Outcome, DbError | LeaseEnded> {
    const { conversation: id, seconds, uid } = job
    yield* rows.begin(job)
    const conversation = Option.getOrUndefined(yield* playback.conversation(uid, id, {}))
    // A file that still grows would be merged again.
    if (conversation?.live === true && seconds < deadlineSeconds) return yield* wait(job)
    // What its node has recorded, but not uploaded, is known to that node only.
    const storedEnd = conversation?.span?.end ?? -Infinity
    const isIncomplete = job.audioEnd !== null && storedEnd < job.audioEnd - roundingSeconds
    if (isIncomplete && seconds < storeSeconds) return yield* wait(job)
    if (conversation === undefined || conversation.capturedSeconds === 0)
      return yield* seconds < indexSeconds ? wait(job) : abandon(job, "no_audio")
    const format = formatOf(conversation)
    if (!job.isRequested) {
      yield* precache.request(uid, id, format)
      return yield* Effect.as(rows.requested(job, firstPause), "waiting" as const)
    }
    const { dead, failing, merging } = yield* precache.progress(uid, id, format)
    if (dead !== undefined) return yield* abandon(job, reasons[dead])
    if (failing !== undefined && job.requestedSeconds >= retrySeconds) return yield* abandon(job, reasons[failing])
    if (merging > 0) return yield* seconds < deadlineSeconds ? wait(job) : abandon(job, "too_slow")
    return yield* Effect.as(rows.complete(job, { duration: durationOf(conversation), format }), "ready" as const)
  })
})
