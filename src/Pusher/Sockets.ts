/** The capture sockets of the node: how many there may be, who watches them, and how they end together. */
import { Clock, Context, Duration, Effect, Latch, Layer, Metric, Schedule, Schema } from "effect"
import type { Scope } from "effect"
import { Readiness } from "../Http.ts"
import { PusherConfig } from "./PusherConfig.ts"
import type { Received, Session } from "./Session.ts"

/** The node (`node`) or this user (`user`) has as many captures as may be. */
export class TooManyCaptures extends Schema.TaggedError<TooManyCaptures>()("TooManyCaptures", {
  of: Schema.Literals(["node", "user"]),
  limit: Schema.Int
}) {}

export class Sockets extends Context.Service<
  Sockets,
  {
    /** A place for one more capture of the user, for as long as the scope. */
    place(uid: string): Effect.Effect<void, TooManyCaptures, Scope.Scope>
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
const refused = Metric.counter("spillway_captures_refused_total", {
  description: "Capture sockets refused because the node or the user has too many",
  incremental: true
})

const make = Effect.gen(function* () {
  const config = yield* PusherConfig
  const sessions = new Set<Session>()
  const perUser = new Map<string, number>()
  const received: Received = { frames: 0, bytes: 0 }
  const empty = yield* Latch.make(true)
  let open = 0

  const refuse = (of: "node" | "user", limit: number) =>
    Effect.andThen(Metric.update(refused, 1), new TooManyCaptures({ of, limit }))

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
    place: (uid) =>
      Effect.acquireRelease(
        Effect.suspend(() => {
          const ofUser = perUser.get(uid) ?? 0
          if (open >= config.capturesPerNode) return refuse("node", config.capturesPerNode)
          if (ofUser >= config.capturesPerUser) return refuse("user", config.capturesPerUser)
          perUser.set(uid, ofUser + 1)
          open++
          return empty.close
        }),
        () =>
          Effect.suspend(() => {
            const left = (perUser.get(uid) ?? 1) - 1
            if (left > 0) perUser.set(uid, left)
            else perUser.delete(uid)
            open--
            return open === 0 ? empty.open : Effect.void
          })
      ),
    watch: (session) =>
      Effect.acquireRelease(
        Effect.sync(() => sessions.add(session)),
        () => Effect.sync(() => sessions.delete(session))
      ),
    received,
    idle: empty.await
  })
})
