/** Listeners of streams on this node. */
import { Context, Effect, Layer, Metric } from "effect"
import type { Scope } from "effect"
import { type NoSeat, Seats } from "../Bulkhead.ts"
import { StreamsConfig } from "./StreamsConfig.ts"

export class Audience extends Context.Service<
  Audience,
  {
    /** Counts a listener of the stream until the scope closes. */
    enter(stream: number): Effect.Effect<void, NoSeat, Scope.Scope>
    /** By stream, only those with listeners. */
    readonly counts: () => ReadonlyMap<number, number>
  }
>()("spillway/Streams/Audience") {
  static readonly layer = Layer.effect(
    Audience,
    Effect.suspend(() => make)
  )
}

const listening = Metric.gauge("spillway_stream_listeners", { description: "Listeners of streams on this node" })

const make = Effect.gen(function* () {
  const config = yield* StreamsConfig
  const { listenersPerNode, listenersPerStream } = StreamsConfig.settings
  const seats = yield* Seats.make("stream listeners", {
    node: { limit: config.listenersPerNode, setting: listenersPerNode.env },
    user: { limit: config.listenersPerStream, setting: listenersPerStream.env }
  })
  /** Bounded by the seats. */
  const counts = new Map<number, number>()
  const count = (stream: number, more: 1 | -1) =>
    Effect.suspend(() => {
      const left = (counts.get(stream) ?? 0) + more
      if (left === 0) counts.delete(stream)
      else counts.set(stream, left)
      return Metric.update(listening, seats.taken())
    })

  return Audience.of({
    enter: (stream) =>
      Effect.andThen(
        seats.take(String(stream)),
        Effect.acquireRelease(count(stream, 1), () => count(stream, -1))
      ),
    counts: () => counts
  })
})
