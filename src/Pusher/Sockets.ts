/** The capture sockets of the node: their limits, timeouts and drain. */
import { Clock, Context, Duration, Effect, Latch, Layer, Metric, Schedule } from "effect"
import type { Scope } from "effect"
import type { WebSocket } from "ws"
import { Bulkhead, BulkheadConfig, type NoSeat, Seats } from "../Bulkhead.ts"
import { BoundedMap } from "../BoundedMap.ts"
import { Readiness } from "../Readiness.ts"
import { Recording } from "../Recording.ts"
import { PusherConfig } from "./PusherConfig.ts"
import * as Protocol from "./Protocol.ts"
import type { ReceivedTotals, Session } from "./Session.ts"
import { TokenBucket } from "./TokenBucket.ts"

export class Sockets extends Context.Service<
  Sockets,
  {
    /** Takes a seat for a capture of the user until the scope closes. */
    takeSeat(uid: string): Effect.Effect<void, NoSeat, Scope.Scope>
    /** Counts a conversation that the user selects; false if the user has selected too many. */
    readonly maySelect: (uid: string) => boolean
    /** Large messages are read a few at a time, in turns of their users, so that memory does not follow the sockets. */
    readonly largeMessages: Bulkhead.Bulkhead
    /**
     * Pings the session, and closes it when it times out or `isRevoked`, which is run once per `keyCheckInterval`. Completes when
     * the socket has closed, or the node drains.
     */
    watch(session: Session, socket: WebSocket, isRevoked: Effect.Effect<boolean>): Effect.Effect<void>
    /** Totals that the sessions update. */
    readonly received: ReceivedTotals
    /** False when the node has drained: a socket that it opened now could end before what it sends is recorded. */
    readonly isOpen: () => boolean
    /** Completes when the captures from before the drain have ended, closes the node to others, and waits for later ones. */
    readonly drained: Effect.Effect<void>
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
      const { drained } = yield* Sockets
      const { stopping } = yield* Recording
      yield* Effect.addFinalizer(() =>
        stopping.pipe(Effect.andThen(drain), Effect.andThen(Effect.ignore(Effect.timeout(drained, drainTimeout))))
      )
    })
  )
}

/** Large messages of the node that are read at a time, each of at most `frameBytes`. */
const largeMessages = 12

/** Keys that are checked at a time; the others wait. */
const keyChecks = 16

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

const unresponsiveTotal = Metric.counter("spillway_captures_unresponsive_total", {
  description: "Captures whose connection was cut because nothing arrived after two pings",
  incremental: true
})

const unstoredBytes = Metric.counter("spillway_audio_unstored_bytes_total", {
  description: "Bytes of audio that were received and not stored, as their users' settings say",
  incremental: true
})

/** One loop serves all sockets, because a fiber for each of their timers and signals costs more than the socket. */
interface Watched {
  readonly session: Session
  readonly isRevoked: Effect.Effect<boolean>
  /** Clock milliseconds. */
  keyCheckedAt: number
  readonly end: () => void
}

const countCaptures = Effect.map(Latch.make(true), (empty) => {
  let counted = 0
  const enter = Effect.suspend(() => (counted++ === 0 ? empty.close : Effect.void))
  const leave = () => Effect.suspend(() => (--counted === 0 ? empty.open : Effect.void))
  return {
    /** Counts a capture until the scope closes. */
    count: Effect.asVoid(Effect.acquireRelease(enter, leave)),
    none: empty.await
  }
})

const make = Effect.gen(function* () {
  const config = yield* PusherConfig
  const bulkheads = yield* BulkheadConfig
  const { draining } = yield* Readiness
  const watched = new Set<Watched>()
  let isDraining = false
  let isOpen = true
  const received: ReceivedTotals = { frames: 0, bytes: 0, ignored: 0, unstored: 0, unresponsive: 0 }
  /** Captures from before the drain, and those that clients open while it lasts. */
  const earlier = yield* countCaptures
  const later = yield* countCaptures
  const { capturesPerNode, capturesPerUser } = PusherConfig.settings
  const seats = yield* Seats.make("captures", {
    node: { limit: config.capturesPerNode, setting: capturesPerNode.env },
    user: { limit: config.capturesPerUser, setting: capturesPerUser.env }
  })

  const clock = yield* Clock.Clock
  const context = yield* Effect.context()
  const selectionRates = new BoundedMap<TokenBucket>(maxSelecting)
  const perMinute = config.conversationsPerMinute
  const maySelect = (uid: string) => {
    const at = clock.currentTimeMillisUnsafe()
    const rate = selectionRates.get(uid) ?? new TokenBucket(perMinute / 60, perMinute * selectionMinutes, at)
    selectionRates.set(uid, rate)
    const isAllowed = rate.take(1, at)
    if (!isAllowed) rejectedSelections.updateUnsafe(1, context)
    return isAllowed
  }

  const pingMillis = Duration.toMillis(config.pingInterval)
  let pingedAt = clock.currentTimeMillisUnsafe()
  yield* Effect.gen(function* () {
    const now = clock.currentTimeMillisUnsafe()
    const ping = now - pingedAt >= pingMillis
    if (ping) pingedAt = now
    for (const { session } of watched) session.check(ping)
    const { bytes, frames, ignored, unresponsive, unstored } = received
    Object.assign(received, { frames: 0, bytes: 0, ignored: 0, unstored: 0, unresponsive: 0 })
    yield* Metric.update(unresponsiveTotal, unresponsive)
    yield* Metric.update(unstoredBytes, unstored)
    yield* Metric.update(ignoredTotal, ignored)
    yield* Metric.update(framesTotal, frames)
    yield* Metric.update(audioBytes, bytes)
  }).pipe(Effect.repeat(Schedule.spaced("1 second")), Effect.forkScoped)

  const keyCheckMillis = Duration.toMillis(config.keyCheckInterval)
  yield* Effect.suspend(() => {
    const now = clock.currentTimeMillisUnsafe()
    const due = [...watched].filter(({ keyCheckedAt }) => now - keyCheckedAt >= keyCheckMillis)
    return Effect.forEach(
      due,
      (each) => {
        each.keyCheckedAt = now
        return Effect.map(each.isRevoked, (isRevoked) => {
          if (isRevoked) each.session.close(Protocol.closeCodes.policy, "the key is no longer valid")
        })
      },
      { concurrency: keyChecks, discard: true }
    )
  }).pipe(
    Effect.catchCause((cause) => Effect.logError("the keys of capture sockets could not be checked", cause)),
    Effect.repeat(Schedule.spaced("1 second")),
    Effect.forkScoped
  )

  const drain = ({ end, session }: Watched) => {
    session.notice("draining", "the server is stopping; received audio is being written")
    end()
  }
  yield* draining.pipe(
    Effect.andThen(
      Effect.sync(() => {
        isDraining = true
        for (const each of watched) drain(each)
      })
    ),
    Effect.forkScoped
  )

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
    takeSeat: (uid) => Effect.suspend(() => Effect.andThen(seats.take(uid), (isDraining ? later : earlier).count)),
    watch: (session, socket, isRevoked) =>
      Effect.callback<void>((resume) => {
        const leave = () => {
          watched.delete(each)
          socket.off("close", end)
        }
        const end = () => {
          leave()
          resume(Effect.void)
        }
        const each: Watched = { session, isRevoked, keyCheckedAt: clock.currentTimeMillisUnsafe(), end }
        watched.add(each)
        socket.once("close", end)
        if (isDraining) drain(each)
        else if (socket.readyState === socket.CLOSED) end()
        return Effect.sync(leave)
      }),
    received,
    isOpen: () => isOpen,
    drained: earlier.none.pipe(
      Effect.andThen(
        Effect.sync(() => {
          isOpen = false
        })
      ),
      Effect.andThen(later.none)
    )
  })
})
