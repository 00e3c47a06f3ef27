/** Live transcripts on their way from the capture sockets to those that use them. Buffered only where a sink is registered. */
import { Cause, Clock, Context, Duration, Effect, Layer, Metric, Option } from "effect"
import type { Scope } from "effect"
import * as BackgroundLoop from "../../BackgroundLoop.ts"
import { LiveQueue, type Queued } from "./Queue.ts"
import { decode, type LiveTranscript } from "./Transcript.ts"
import { MessageHandlers, type Sender } from "../MessageHandlers.ts"
import * as Protocol from "../Protocol.ts"
import { TokenBucket } from "../TokenBucket.ts"

const drainEvery = Duration.seconds(1)

const retryAfter = Duration.seconds(1)

/** Bytes of transcripts of a capture that are decoded in a second, and at once. More is ignored: 1 MiB holds all captures up for 14 ms. */
const bytesPerSecond = 512 * 1024
const burstBytes = 4 * 1024 * 1024

/** Time for what is left when the scope of a sink closes. */
const flushTimeout = Duration.seconds(5)

export interface LiveSink<E> {
  /** In metrics and logs. */
  readonly name: string
  /** Receives the same messages again after a failure. Newer messages of a capture follow older ones. */
  readonly transcripts: (messages: ReadonlyArray<LiveTranscript>) => Effect.Effect<void, E>
}

export class LiveSinks extends Context.Service<
  LiveSinks,
  {
    /** Delivers to the sink each second until the scope closes, and then what is left. While a delivery fails, queues slide. */
    add<E>(sink: LiveSink<E>): Effect.Effect<void, never, Scope.Scope>
  }
>()("spillway/Pusher/Live/Sinks/LiveSinks") {
  static readonly layer = Layer.effect(
    LiveSinks,
    Effect.suspend(() => make)
  )
}

const rejectedTotal = Metric.counter("spillway_live_rejected_segments_total", {
  description: "Segments of live transcripts without a start, or longer than 16 KiB",
  incremental: true
})
const droppedTotal = Metric.counter("spillway_live_dropped_segments_total", {
  description: "Segments of live transcripts that were displaced by newer ones before their sink received them",
  incremental: true
})
const queuedSegments = Metric.gauge("spillway_live_queued_segments", {
  description: "Segments of live transcripts that wait for their sink"
})

const make = Effect.gen(function* () {
  const handlers = yield* MessageHandlers
  const clock = yield* Clock.Clock
  const queues = new Set<LiveQueue>()
  const rates = new WeakMap<Sender, TokenBucket>()
  let rejected = 0

  const rateOf = (sender: Sender, now: number): TokenBucket => {
    const rate = rates.get(sender) ?? new TokenBucket(bytesPerSecond, burstBytes, now)
    rates.set(sender, rate)
    return rate
  }

  yield* handlers.add(Protocol.opcodes.transcript, (sender, text) => {
    if (queues.size === 0) return true
    const receivedAt = Number(clock.monotonicTimeNanosUnsafe()) / 1e6
    if (!rateOf(sender, receivedAt).take(text.length, receivedAt)) return false
    const decoded = decode(text, sender.conversation())
    if (Option.isNone(decoded)) return false
    const { chars, conversation, segments } = decoded.value
    rejected += decoded.value.rejected
    const message = { uid: sender.uid, conversation, segments, chars, receivedAt }
    if (segments.length > 0) for (const queue of queues) queue.offer(sender, message)
    return true
  })

  return LiveSinks.of({
    add: Effect.fnUntraced(function* <E>({ name, transcripts }: LiveSink<E>) {
      const queue = new LiveQueue()
      /** Taken from the queue, and not delivered yet. */
      let batch: ReadonlyArray<Queued> = []

      const measure = Effect.gen(function* () {
        const attributes = { sink: name }
        yield* Metric.update(Metric.withAttributes(droppedTotal, attributes), queue.takeDropped())
        yield* Metric.update(Metric.withAttributes(queuedSegments, attributes), queue.segments)
        yield* Metric.update(rejectedTotal, rejected)
        rejected = 0
      })

      /** A message that a sink dies of is dropped, so that it holds up no other. */
      const deliverEach = Effect.suspend(() =>
        Effect.forEach(
          batch,
          ({ message, sender }) =>
            Effect.catchCauseIf(transcripts([message]), Cause.hasDies, (cause) => {
              queue.drop(sender, message)
              return Effect.logError(`a transcript was dropped, because ${name} failed unexpectedly`, cause)
            }),
          { discard: true }
        )
      )

      const deliver = Effect.catchCauseIf(
        Effect.suspend(() => transcripts(batch.map(({ message }) => message))),
        Cause.hasDies,
        () => deliverEach
      )

      const drain = Effect.gen(function* () {
        for (;;) {
          if (batch.length === 0) batch = queue.takeBatch()
          if (batch.length === 0) return
          yield* deliver
          batch = []
        }
      })

      yield* Effect.acquireRelease(
        Effect.sync(() => queues.add(queue)),
        () =>
          drain.pipe(
            Effect.interruptible,
            Effect.timeout(flushTimeout),
            Effect.catchCause((cause) => Effect.logWarning(`${name}: the last transcripts were not delivered`, cause)),
            Effect.andThen(Effect.sync(() => queues.delete(queue)))
          )
      )
      yield* BackgroundLoop.fork(Effect.as(Effect.ensuring(drain, measure), drainEvery), {
        failed: `${name}: transcripts could not be delivered and are retried`,
        retryAfter
      })
    })
  })
})
