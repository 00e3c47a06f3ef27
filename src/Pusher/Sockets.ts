/** The capture sockets of the node: their limits, timeouts and drain. */
import { Clock, Context, Duration, Effect, Latch, Layer, Metric, Schedule } from "effect"
import type { Scope } from "effect"
import { Bulkhead, BulkheadConfig, type NoSeat, Seats } from "../Bulkhead.ts"
import { BoundedMap } from "../BoundedMap.ts"
import { Readiness } from "../Readiness.ts"
import { Recording } from "../Recording.ts"
import { PusherConfig } from "./PusherConfig.ts"
import type { ReceivedTotals, Session } from "./Session.ts"

export class Sockets extends Context.Service<
  Sockets,
  {
    /** Takes a seat for a capture of the user until the scope closes. */
    takeSeat(uid: string): Effect.Effect<void, NoSeat, Scope.Scope>
    /** Counts a conversation that the user selects; false if the user has selected too many. */
    readonly maySelect: (uid: string) => boolean
    /** Large messages are read a few at a time, in turns of their users, so that memory does not follow the sockets. */
    readonly largeMessages: Bulkhead.Bulkhead
    /** Pings the session, and closes it when it times out, until the scope closes. */
    watch(session: Session): Effect.Effect<void, never, Scope.Scope>
    /** Totals that the sessions update. */
    readonly received: ReceivedTotals
    /** Completes when there is no capture. */
    readonly idle: Effect.Effect<void>
  }
>()("spillway/Pusher/Sockets") {
  static readonly layer = Layer.effect(
    Sockets,
    Effect.suspend(() => make)
  )

  /** Must be built after the server, so that its finalizer runs first: it drains the node and waits for the captures. */
  static readonly layerDrain = Layer.effectDiscard(
    Effect.gen(function* () {
      const { drainTimeout } = yield* PusherConfig
      const { drain } = yield* Readiness
      const { idle } = yield* Sockets
      const { stopping } = yield* Recording
      yield* Effect.addFinalizer(() =>
        stopping.pipe(Effect.andThen(drain), Effect.andThen(Effect.ignore(Effect.timeout(idle, drainTimeout))))
      )
    })
  )
}

/** Large messages of the node that are read at a time, each of at most `frameBytes`. */
const largeMessages = 12

/** Minutes of `conversationsPerMinute` that a user may select at once. */
const selectionMinutes = 5

/** Users whose selections are counted. At the bound, the one who selected longest ago may select as many again. */
const maxSelecting = 10_000

const framesTotal = Metric.counter("spillway_frames_total", {
  description: "Messages received on capture sockets",
  incremental: true
})
const audioBytes = Metric.counter("spillway_audio_bytes_total", {
  description: "Bytes of audio received",
  incremental: true
})
const ignoredTotal = Metric.counter("spillway_messages_ignored_total", {
  description: "JSON messages of capture sockets that could not be used",
  incremental: true
})

const rejectedSelections = Metric.counter("spillway_conversations_rejected_total", {
  description: "Captures that were closed because their user selected too many conversations a minute",
  incremental: true
})

const unstoredBytes = Metric.counter("spillway_audio_unstored_bytes_total", {
  description: "Bytes of audio that were received and not stored, as their users' settings say",
  incremental: true
})

const make = Effect.gen(function* () {
  const config = yield* PusherConfig
  const bulkheads = yield* BulkheadConfig
  const sessions = new Set<Session>()
  const received: ReceivedTotals = { frames: 0, bytes: 0, ignored: 0, unstored: 0 }
  const empty = yield* Latch.make(true)
  const { capturesPerNode, capturesPerUser } = PusherConfig.settings
  const seats = yield* Seats.make("captures", {
    node: { limit: config.capturesPerNode, setting: capturesPerNode.env },
    user: { limit: config.capturesPerUser, setting: capturesPerUser.env }
  })

  const clock = yield* Clock.Clock
  const context = yield* Effect.context()
  const selecting = new BoundedMap<{ readonly credit: number; readonly at: number }>(maxSelecting)
  const perMinute = config.conversationsPerMinute
  const maySelect = (uid: string) => {
    const at = clock.currentTimeMillisUnsafe()
    const most = perMinute * selectionMinutes
    const before = selecting.get(uid) ?? { credit: most, at }
    const credit = Math.min(most, before.credit + (Math.max(0, at - before.at) / 60_000) * perMinute)
    selecting.set(uid, { credit: Math.max(0, credit - 1), at })
    if (credit < 1) rejectedSelections.updateUnsafe(1, context)
    return credit >= 1
  }

  const pingMillis = Duration.toMillis(config.pingInterval)
  let pingedAt = clock.currentTimeMillisUnsafe()
  yield* Effect.gen(function* () {
    const now = clock.currentTimeMillisUnsafe()
    const ping = now - pingedAt >= pingMillis
    if (ping) pingedAt = now
    for (const session of sessions) session.check(ping)
    const { bytes, frames, ignored, unstored } = received
    Object.assign(received, { frames: 0, bytes: 0, ignored: 0, unstored: 0 })
    yield* Metric.update(unstoredBytes, unstored)
    yield* Metric.update(ignoredTotal, ignored)
    yield* Metric.update(framesTotal, frames)
    yield* Metric.update(audioBytes, bytes)
  }).pipe(Effect.repeat(Schedule.spaced("1 second")), Effect.forkScoped)

  return Sockets.of({
    maySelect,
    largeMessages: yield* Bulkhead.make({
      name: "large messages",
      permits: largeMessages,
      maxWaiting: config.capturesPerNode,
      maxWaitingPerKey: config.capturesPerUser,
      retryAfter: bulkheads.retryAfter,
      warnEvery: bulkheads.warnEvery
    }),
    // Finalizers run in reverse order: the seat is released before the count is read.
    takeSeat: (uid) =>
      Effect.gen(function* () {
        yield* Effect.addFinalizer(() => Effect.suspend(() => (seats.taken() === 0 ? empty.open : Effect.void)))
        yield* seats.take(uid)
        yield* empty.close
      }),
    watch: (session) =>
      Effect.acquireRelease(
        Effect.sync(() => sessions.add(session)),
        () => Effect.sync(() => sessions.delete(session))
      ),
    received,
    idle: empty.await
  })
})
