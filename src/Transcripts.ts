/** Transcripts of conversations: stored as devices send them, read by time, and followed while they grow. */
import { Context, Effect, Layer, Metric, Option, Stream } from "effect"
import type { Scope } from "effect"
import type { NoSeat } from "./Bulkhead.ts"
import { callerOf, DbCaller, type DbError, ingestCaller } from "./Db.ts"
import type { DecryptionFailed } from "./Encryption.ts"
import * as Pusher from "./Pusher.ts"
import { Readiness } from "./Readiness.ts"
import { Recording } from "./Recording.ts"
import { type Place, SegmentRows, type StoredSegment } from "./Transcripts/SegmentRows.ts"

export type { Place, StoredSegment } from "./Transcripts/SegmentRows.ts"

/** Segments of one event; the rest follow in the next one. */
const maxEventSegments = 500

/** Events between two that are sent without a change, one a second. */
const idleEvents = 15

export interface TranscriptPage {
  readonly segments: ReadonlyArray<StoredSegment>
  /** The last segment of the page, if there are more. */
  readonly next: Place | undefined
  /** What changes later has a higher one. */
  readonly revision: number
}

/** `revision`: all changes up to it have been sent. */
export interface TranscriptEvent {
  readonly revision: number
  readonly segments: ReadonlyArray<StoredSegment>
}

export class Transcripts extends Context.Service<
  Transcripts,
  {
    /** Segments by start. None if the user has no such conversation. */
    page(
      uid: string,
      conversation: string,
      page: { readonly from: number; readonly after: Place | undefined; readonly limit: number }
    ): Effect.Effect<Option.Option<TranscriptPage>, DbError | DecryptionFailed>
    /** Those of the segments' ids that are stored, by start. The caller bounds them. */
    segments(
      uid: string,
      conversation: string,
      ids: ReadonlyArray<string>
    ): Effect.Effect<ReadonlyArray<StoredSegment>, DbError | DecryptionFailed>
    /**
     * What changes after the revision `since`, or from now on. The first event is sent at once, and one without segments every
     * 15 seconds. Ends when the node drains or the database fails. Takes a seat of the user `by`. None as in `page`.
     */
    events(
      uid: string,
      conversation: string,
      options: { readonly since: number | undefined; readonly by: string }
    ): Effect.Effect<Option.Option<Stream.Stream<TranscriptEvent>>, DbError | NoSeat, Scope.Scope>
  }
>()("spillway/Transcripts") {
  static readonly layer = Layer.effect(
    Transcripts,
    Effect.suspend(() => make)
  ).pipe(Layer.provide(SegmentRows.layer))
}

const changedTotal = Metric.counter("spillway_transcript_segments_total", {
  description: "Segments of transcripts that were stored: new and changed ones",
  incremental: true
})
const rejectedTotal = Metric.counter("spillway_transcript_rejected_segments_total", {
  description: "Segments that were not stored, by reason",
  incremental: true
})

const make = Effect.gen(function* () {
  const rows = yield* SegmentRows
  const recording = yield* Recording
  const readiness = yield* Readiness
  const seats = yield* Pusher.ViewerSeats
  const sinks = yield* Pusher.LiveSinks

  yield* sinks.add({
    name: "transcripts",
    transcripts: (messages) =>
      rows.write(messages).pipe(
        Effect.provideService(DbCaller, ingestCaller),
        Effect.flatMap(({ changed, deleted, full }) =>
          Effect.all([
            Metric.update(changedTotal, changed),
            Metric.update(Metric.withAttributes(rejectedTotal, { reason: "deleted" }), deleted),
            Metric.update(Metric.withAttributes(rejectedTotal, { reason: "full" }), full)
          ])
        )
      )
  })

  /** A conversation that this node records can have no row yet. */
  const revisionOf = Effect.fnUntraced(function* (uid: string, conversation: string) {
    const stored = yield* rows.revision({ uid, conversation })
    if (Option.isSome(stored)) return stored
    return (yield* recording.isLive({ uid, conversation })) ? Option.some(0) : Option.none<number>()
  })

  return Transcripts.of({
    page: Effect.fn("Transcripts.page")(function* (uid, conversation, { limit, ...page }) {
      // Read first, so that a follower from this revision on misses nothing.
      const revision = Option.getOrUndefined(yield* revisionOf(uid, conversation))
      if (revision === undefined) return Option.none()
      const found = yield* rows.page({ uid, conversation }, { ...page, limit: limit + 1 })
      const segments = found.slice(0, limit)
      return Option.some({ segments, next: found.length > limit ? segments.at(-1) : undefined, revision })
    }),
    segments: (uid, conversation, ids) => rows.find({ uid, conversation }, ids),
    events: Effect.fn("Transcripts.events")(function* (uid, conversation, { by, since }) {
      yield* seats.take(by)
      const revision = Option.getOrUndefined(yield* revisionOf(uid, conversation))
      if (revision === undefined) return Option.none()
      let sent = Math.min(since ?? revision, revision)
      let idle = idleEvents
      const next = Effect.gen(function* () {
        const segments = yield* rows.changes({ uid, conversation }, { since: sent, limit: maxEventSegments })
        sent = segments.at(-1)?.revision ?? sent
        const isSent = segments.length > 0 || ++idle > idleEvents
        if (isSent) idle = 0
        return { revision: sent, segments, isSent }
      }).pipe(Effect.provideService(DbCaller, callerOf(by)))
      const events = Stream.tick("1 second").pipe(
        Stream.mapEffect(() => next),
        Stream.filter(({ isSent }) => isSent),
        Stream.catchCause((cause) =>
          Stream.drain(Stream.fromEffect(Effect.logWarning("a transcript could not be followed any further", cause)))
        ),
        Stream.interruptWhen(readiness.draining)
      )
      return Option.some(events)
    })
  })
})
