/** VODs: recordings of broadcasts. One is created when a broadcast ends, and prepared for download. */
import { Context, Duration, Effect, Layer, Metric, Option } from "effect"
import type { DbError } from "./Db.ts"
import * as DurationHistogram from "./DurationHistogram.ts"
import * as FairClaims from "./FairClaims.ts"
import { Purges } from "./Purges.ts"
import type { StorageRefused, StorageUnavailable } from "./Storage.ts"
import * as Jobs from "./Vods/Jobs/JobRows.ts"
import * as Preparation from "./Vods/Jobs/Preparation.ts"
import { ListRows } from "./Vods/Lists/ListRows.ts"
import { SearchRows } from "./Vods/Lists/SearchRows.ts"
import { PlayRows } from "./Vods/Plays/PlayRows.ts"
import { type ClaimedVod, purgeBatch, VodRows } from "./Vods/VodRows.ts"

export type { Vod } from "./Vods/Vod.ts"

/** VODs that this node prepares at once. A step takes some milliseconds; the merges are counted elsewhere. */
const maxRunning = 8

export class Vods extends Context.Service<
  Vods,
  FairClaims.Worker.Worker &
    Pick<VodRows["Service"], "find" | "findReady" | "update" | "remove" | "restore"> &
    Pick<ListRows["Service"], "page" | "ofStream"> & {
      readonly search: SearchRows["Service"]["page"]
      readonly retry: Jobs.JobRows["Service"]["retry"]
      readonly plays: PlayRows["Service"]
      /** Creates the VODs of broadcasts that have ended; VODs whose jobs are dead have failed. True if there may be more. */
      readonly settle: Effect.Effect<boolean, DbError>
      /** Requests purges of the recordings of VODs that were deleted long ago. True if there may be more. */
      readonly purgeDeleted: Effect.Effect<boolean, DbError | StorageUnavailable>
    }
>()("spillway/Vods") {
  static readonly layerNoDeps = Layer.effect(
    Vods,
    Effect.suspend(() => make)
  )
  static readonly layer = this.layerNoDeps.pipe(
    Layer.provide([VodRows.layer, ListRows.layer, SearchRows.layer, PlayRows.layer]),
    Layer.provide(Jobs.JobRows.layer)
  )
}

const outcomes = Metric.counter("spillway_vod_steps_total", {
  description:
    "Steps of the preparation of VODs by outcome: ready, waiting (for audio or merges), failed (retried with backoff), dead (given up), abandoned (the VOD has failed), lost (to another node or a purge)",
  incremental: true
})
const active = Metric.gauge("spillway_vod_active", { description: "VODs of which this node takes a step now" })
const seconds = DurationHistogram.make("spillway_vod_step_seconds", "Duration of a step of the preparation of a VOD")
const created = Metric.counter("spillway_vod_broadcasts_total", {
  description: "Broadcasts that have ended and got a VOD, or had no recording any more",
  incremental: true
})
const purged = Metric.counter("spillway_vod_purges_total", {
  description:
    "Deleted VODs whose purge was requested, or that were removed alone: without a recording, or with one that is used elsewhere",
  incremental: true
})

/** What fails for one VOD keeps no other one of its batch, which would be claimed with it each time. */
const isolated = <E>({ id, uid }: ClaimedVod, work: Effect.Effect<void, E | StorageRefused>) => {
  const log = (cause: unknown) =>
    Effect.annotateLogs(Effect.logError("a deleted VOD could not be purged and is tried again", cause), {
      vod: id,
      uid
    })
  return work.pipe(Effect.catchTag("StorageRefused", log), Effect.catchDefect(log))
}

const make = Effect.gen(function* () {
  const vods = yield* VodRows
  const lists = yield* ListRows
  const { page: search } = yield* SearchRows
  const plays = yield* PlayRows
  const jobs = yield* Jobs.JobRows
  const purges = yield* Purges
  const work = yield* Preparation.make

  const worker = yield* FairClaims.Worker.make({
    subject: "the preparation of a VOD",
    turns: jobs,
    maxRunning,
    work,
    fail: (job, { message }) => jobs.fail(job, message),
    annotations: ({ conversation, uid, vod }) => ({ uid, vod, conversation }),
    outcomes,
    seconds,
    active
  })

  /** A purge that is requested again is the same one. One that has ended has left no recording. */
  const purge = Effect.fnUntraced(function* (vod: ClaimedVod) {
    const { conversation, id, uid } = vod
    const requested = yield* purges.request({ uid, conversation }, Duration.zero, vods.isUnused(vod))
    if (Option.isNone(requested) || requested.value.finishedAt !== undefined) yield* vods.forget(id)
    yield* Metric.update(purged, 1)
  })

  return Vods.of({
    ...worker,
    find: vods.find,
    findReady: vods.findReady,
    update: vods.update,
    remove: vods.remove,
    restore: vods.restore,
    page: lists.page,
    ofStream: lists.ofStream,
    search,
    plays,
    retry: Effect.fn("Vods.retry")(function* (by, id) {
      const vod = yield* jobs.retry(by, id)
      yield* worker.requested
      return vod
    }),
    settle: Effect.gen(function* () {
      const { hasDead, hasEnded } = yield* jobs.unsettled
      const ended = hasEnded ? yield* jobs.create : 0
      const dead = hasDead ? yield* jobs.failDead : 0
      if (ended > 0) {
        yield* Metric.update(created, ended)
        yield* worker.requested
      }
      return ended === Jobs.batch || dead === Jobs.batch
    }),
    purgeDeleted: Effect.gen(function* () {
      const claimed = yield* vods.claimDeleted
      yield* Effect.forEach(claimed, (vod) => isolated(vod, purge(vod)), { discard: true })
      return claimed.length === purgeBatch
    })
  })
})
