/**
 * Passes the JSON messages of captures to an upstream pusher (omi's own), and its answers (201) back: one socket for each capture
 * that has such messages. An upstream that is down, slow or refusing delays nothing but these messages.
 */
import {
  Context,
  Deferred,
  Duration,
  Effect,
  Exit,
  FiberSet,
  Layer,
  Metric,
  Option,
  Queue,
  Redacted,
  Schedule,
  Schema
} from "effect"
import type { Cause, Scope } from "effect"
import { CircuitBreaker } from "effect/persistence"
import { WebSocket } from "ws"
import * as Protocol from "./Protocol.ts"
import { PusherConfig } from "./PusherConfig.ts"

/** Messages of a capture that wait for the upstream. At the bound the oldest is dropped and counted. */
const maxWaiting = 50

/** Bytes of all waiting messages of the node. At the bound a message is dropped and counted. */
const maxWaitingBytes = 64 * 1024 * 1024

/** Largest message that the upstream may send. */
const maxAnswerBytes = 1024 * 1024

const connectTimeout = Duration.seconds(10)

/** Pause between sockets of one capture, so that an upstream which closes each of them is not asked all the time. */
const reconnectAfter = Duration.seconds(1)

/** A socket that does not answer a ping until the next one is closed. */
const pingEvery = Duration.seconds(30)

/** Time for what waits when the capture ends. */
const flushTimeout = Duration.seconds(5)

/** Failed connections in a row, of all captures, after which none is tried for `openFor`; then one is. */
const failuresToOpen = 5
const openFor = Duration.seconds(30)

const backoff = Schedule.exponential("500 millis").pipe(
  Schedule.jittered,
  Schedule.modifyDelay(({ duration }) => Effect.succeed(Duration.min(duration, openFor)))
)

class UpstreamFailed extends Schema.TaggedError<UpstreamFailed>()("UpstreamFailed", { reason: Schema.String }) {
  override get message() {
    return `the upstream pusher can't be used: ${this.reason}`
  }
}

export interface RelayedCapture {
  readonly uid: string
  readonly sampleRate: number
  /** Takes a message of the upstream, 201. */
  readonly onAnswer: (message: Buffer) => void
}

type Waiting = Queue.Queue<Buffer, Cause.Done>

/** Takes a message. Synchronous, for the socket's message event. */
export type Send = (message: Buffer) => void

export class Relay extends Context.Service<
  Relay,
  {
    /** None without an upstream. Messages that wait when the scope closes have five more seconds. */
    open(capture: RelayedCapture): Effect.Effect<Option.Option<Send>, never, Scope.Scope>
  }
>()("spillway/Pusher/Relay") {
  static readonly layer = Layer.effect(
    Relay,
    Effect.suspend(() => make)
  ).pipe(Layer.provide(CircuitBreaker.layerStoreMemory()))
}

const counter = (name: string, description: string) => Metric.counter(name, { description, incremental: true })
const relayed = counter("spillway_relay_messages_total", "Messages of captures sent to the upstream pusher")
const dropped = counter("spillway_relay_dropped_total", "Messages that the upstream pusher did not take in time")
const connections = counter("spillway_relay_connections_total", "Connections to the upstream pusher, by outcome")

/** As omi's backend derives it from `HOSTED_PUSHER_API_URL`. */
const urlOf = (upstream: string, { sampleRate, uid }: RelayedCapture) => {
  const url = new URL(upstream.replace(/\/*$/, "/v1/trigger/listen").replace(/^http/i, "ws"))
  url.searchParams.set("uid", uid)
  url.searchParams.set("sample_rate", String(sampleRate))
  return url
}

/** Open until the scope closes. `closed` fails when it is closed before. */
const connect = (url: URL, onAnswer: (message: Buffer) => void) =>
  Effect.gen(function* () {
    const closed = yield* Deferred.make<never, UpstreamFailed>()
    const socket = yield* Effect.acquireRelease(
      Effect.sync(() => new WebSocket(url, { maxPayload: maxAnswerBytes, perMessageDeflate: false })),
      (socket) => Effect.sync(() => socket.terminate())
    )
    let isAlive = true
    socket.on("pong", () => (isAlive = true))
    socket.on("error", (error) => Deferred.doneUnsafe(closed, new UpstreamFailed({ reason: error.message })))
    socket.on("close", (code) => Deferred.doneUnsafe(closed, new UpstreamFailed({ reason: `closed with ${code}` })))
    socket.on("message", (data, isBinary) => {
      if (isBinary && Buffer.isBuffer(data) && data.length >= 4 && data.readUInt32LE(0) === Protocol.opcodes.finished)
        onAnswer(data)
    })
    const opened = Effect.callback<void>((resume) => void socket.once("open", () => resume(Effect.void)))
    yield* Effect.raceFirst(opened, Deferred.await(closed)).pipe(
      Effect.timeoutOrElse({
        duration: connectTimeout,
        orElse: () => new UpstreamFailed({ reason: "no answer in time" })
      })
    )
    const ping = Effect.sync(() => {
      if (!isAlive) return socket.terminate()
      isAlive = false
      socket.ping()
    })
    yield* Effect.forkScoped(Effect.repeat(Effect.delay(ping, pingEvery), Schedule.forever))
    return { socket, closed: Deferred.await(closed) }
  })

const sendTo = (socket: WebSocket, message: Buffer) =>
  Effect.callback<void, UpstreamFailed>((resume) =>
    socket.send(message, (error) =>
      resume(error instanceof Error ? new UpstreamFailed({ reason: error.message }) : Effect.void)
    )
  )

const make = Effect.gen(function* () {
  const { upstream } = yield* PusherConfig
  const breaker = yield* CircuitBreaker.make({
    tripPolicy: CircuitBreaker.consecutive(failuresToOpen),
    openDuration: openFor
  })
  const relays = yield* FiberSet.make<void>()
  const context = yield* Effect.context()
  let waitingBytes = 0
  let isFailureLogged = false

  const count = (metric: typeof relayed) => metric.updateUnsafe(1, context)
  const lose = ({ length }: Buffer) => {
    waitingBytes -= length
    count(dropped)
  }

  const noteOutcome = (exit: Exit.Exit<unknown, UpstreamFailed>) =>
    Effect.gen(function* () {
      const isUp = Exit.isSuccess(exit)
      yield* Metric.update(Metric.withAttributes(connections, { outcome: isUp ? "connected" : "failed" }), 1)
      if (isUp === !isFailureLogged) return
      isFailureLogged = !isUp
      if (isUp) return yield* Effect.logInfo("the upstream pusher can be reached again")
      const reason = Option.match(Exit.findErrorOption(exit), {
        onNone: () => "",
        onSome: (each) => ` (${each.reason})`
      })
      yield* Effect.logWarning(
        `the pusher of SPILLWAY_UPSTREAM_PUSHER can't be reached${reason}: messages of captures wait, ${maxWaiting} each`
      )
    })

  const run = Effect.fnUntraced(function* (base: string, capture: RelayedCapture, queue: Waiting) {
    const attempt = Effect.onExit(connect(urlOf(base, capture), capture.onAnswer), noteOutcome)
    const connected = Effect.retry(breaker.execute(attempt, { key: "upstream" }), { schedule: backoff })
    /** Taken from the queue, and not sent yet. */
    let message: Buffer | undefined
    const session = Effect.gen(function* () {
      message ??= yield* Queue.take(queue)
      const { closed, socket } = yield* connected
      const sendAll = Effect.gen(function* () {
        for (;;) {
          const next: Buffer = (message ??= yield* Queue.take(queue))
          yield* sendTo(socket, next)
          waitingBytes -= next.length
          message = undefined
          count(relayed)
        }
      })
      return yield* Effect.raceFirst(sendAll, closed)
    }).pipe(
      Effect.scoped,
      Effect.catchTag("UpstreamFailed", () => Effect.sleep(reconnectAfter))
    )
    const drop = Effect.sync(() => {
      if (message !== undefined) lose(message)
    })
    yield* session.pipe(Effect.forever, Effect.ignore, Effect.ensuring(drop))
  })

  const takeOldest = (queue: Waiting) => {
    const oldest = Queue.takeUnsafe(queue)
    if (oldest === undefined || Exit.isFailure(oldest)) return false
    lose(oldest.value)
    return true
  }

  return Relay.of({
    open: (capture) =>
      Option.match(upstream, {
        onNone: () => Effect.succeedNone,
        onSome: (base) =>
          Effect.gen(function* () {
            const queue: Waiting = yield* Queue.sliding<Buffer, Cause.Done>(maxWaiting)
            const ended = yield* Deferred.make<void>()
            yield* Effect.addFinalizer(() => Effect.andThen(Queue.end(queue), Deferred.succeed(ended, undefined)))
            const late = Effect.delay(Effect.void, flushTimeout)
            const running = Effect.raceFirst(
              run(Redacted.value(base), capture, queue),
              Effect.andThen(Deferred.await(ended), late)
            )
            const dropAll = Effect.sync(() => {
              while (takeOldest(queue));
            })
            yield* FiberSet.run(relays, Effect.ensuring(running, dropAll))
            return Option.some<Send>((message) => {
              if (waitingBytes + message.length > maxWaitingBytes) return count(dropped)
              if (Queue.sizeUnsafe(queue) >= maxWaiting) takeOldest(queue)
              waitingBytes += message.length
              // A view would keep what it was received with in memory.
              Queue.offerUnsafe(queue, Buffer.from(message))
            })
          })
      })
  })
})
