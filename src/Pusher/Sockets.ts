/** The capture sockets of the node: how many there may be, who watches them, and how they end together. */
import { Clock, Context, Duration, Effect, Latch, Layer, Metric, Schedule } from "effect"
import type { Scope } from "effect"
import { type NoSeat, Seats } from "../Bulkhead.ts"
import { Readiness } from "../Readiness.ts"
import { PusherConfig } from "./PusherConfig.ts"
import type { Received, Session } from "./Session.ts"

export class Sockets extends Context.Service<
  Sockets,
  {
    /** A place for one more capture of the user, for as long as the scope. */
    place(uid: string): Effect.Effect<void, NoSeat, Scope.Scope>
    /** Pings the session and closes it when it is silent, for as long as the scope. */
    watch(session: Session): Effect.Effect<void, never, Scope.Scope>
    /** Counts what the sessions receive. */
    readonly received: Received
    /** Waits until there is no capture. */
    readonly idle: Effect.Effect<void>
  }
>()("spillway/Pusher/Sockets") {
  static readonly layer = Layer.effect(
    Sockets,
    Effect.suspend(() => make)
  )

  /** To be built after the server, so that it ends before: when the node drains, captures get this long to be written. */
  static readonly layerDrain = Layer.effectDiscard(
    Effect.gen(function* () {
      const { drainTimeout } = yield* PusherConfig
      const { drain } = yield* Readiness
      const { idle } = yield* Sockets
      yield* Effect.addFinalizer(() => Effect.andThen(drain, Effect.ignore(Effect.timeout(idle, drainTimeout))))
    })
  )
}

const framesTotal = Metric.counter("spillway_frames_total", {
  description: "Messages of capture sockets",
  incremental: true
})
const audioBytes = Metric.counter("spillway_audio_bytes_total", { description: "Audio received", incremental: true })
const make = Effect.gen(function* () {
  const config = yield* PusherConfig
  const sessions = new Set<Session>()
  const received: Received = { frames: 0, bytes: 0 }
  const empty = yield* Latch.make(true)
  const { capturesPerNode, capturesPerUser } = PusherConfig.settings
  const seats = yield* Seats.make("captures", {
    node: { limit: config.capturesPerNode, setting: capturesPerNode.env },
    user: { limit: config.capturesPerUser, setting: capturesPerUser.env }
  })

  const clock = yield* Clock.Clock
  const pingMillis = Duration.toMillis(config.pingInterval)
  let pingedAt = clock.currentTimeMillisUnsafe()
  yield* Effect.gen(function* () {
    const now = clock.currentTimeMillisUnsafe()
    const ping = now - pingedAt >= pingMillis
    if (ping) pingedAt = now
    for (const session of sessions) session.watch(ping)
    const { bytes, frames } = received
    received.frames = 0
    received.bytes = 0
    yield* Metric.update(framesTotal, frames)
    yield* Metric.update(audioBytes, bytes)
  }).pipe(Effect.repeat(Schedule.spaced("1 second")), Effect.forkScoped)

  return Sockets.of({
    // Finalizers run in reverse: the seat is free before it is asked whether there is another.
    place: (uid) =>
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
