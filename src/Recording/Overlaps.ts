/** Audio that was sent for a second time is dropped; whether it was the same audio is looked up afterwards, and counted. */
import { Context, Effect, Layer, Metric, Queue, Stream } from "effect"
import type { Chunk } from "./Chunk.ts"
import { RecordingConfig } from "./RecordingConfig.ts"

/** A frame of which a part lay on what is recorded. */
export interface Overlap {
  readonly uid: string
  readonly conversation: string
  readonly start: number
  readonly sampleRate: number
  readonly audio: Uint8Array
}

/** The chunks of a conversation that lie in a span of unix seconds, and their bytes. */
export interface Recorded {
  readonly chunks: (overlap: Overlap) => Effect.Effect<ReadonlyArray<Chunk>, unknown>
  readonly read: (chunk: Chunk, start: number, end: number) => Stream.Stream<Uint8Array, unknown>
}

export class Overlaps extends Context.Service<
  Overlaps,
  {
    /** Takes note of a copy; beyond `overlapChecks` waiting ones it is counted as unchecked. */
    readonly note: (overlap: Overlap) => void
    /** Compares what was noted, one after the other, for as long as it runs. */
    readonly check: (recorded: Recorded) => Effect.Effect<never>
  }
>()("spillway/Recording/Overlaps") {
  static readonly layer = Layer.effect(
    Overlaps,
    Effect.suspend(() => make)
  )
}

const total = Metric.counter("spillway_overlaps_total", {
  description: "Frames that lay on what is recorded, by whether their audio was the same",
  incremental: true
})
const counted = (result: "same" | "different" | "unchecked") =>
  Metric.update(Metric.withAttributes(total, { result }), 1)

/** Longer frames are compared at their beginning only. */
const comparedBytes = 64 * 1024

const make = Effect.gen(function* () {
  const { overlapChecks } = yield* RecordingConfig
  const queue = yield* Queue.dropping<Overlap>(overlapChecks)
  const run = Effect.runForkWith(yield* Effect.context<never>())

  const compare = Effect.fnUntraced(function* (overlap: Overlap, recorded: Recorded) {
    const { audio, sampleRate, start } = overlap
    let different = false
    for (const chunk of yield* recorded.chunks(overlap)) {
      if (chunk.state === "lost") continue
      if (chunk.sampleRate !== sampleRate) {
        different = true
        continue
      }
      const shift = Math.round((chunk.start - start) * sampleRate)
      const from = Math.max(0, shift)
      const to = Math.min(audio.length / 2, shift + chunk.samples)
      if (from >= to) continue
      const pieces = yield* Stream.runCollect(recorded.read(chunk, (from - shift) * 2, (to - shift) * 2))
      if (!Buffer.concat(pieces).equals(audio.subarray(from * 2, to * 2))) different = true
    }
    yield* counted(different ? "different" : "same")
    if (!different) return
    yield* Effect.logWarning("other audio was sent for a time that is recorded; what came first is kept").pipe(
      Effect.annotateLogs({ uid: overlap.uid, conversation: overlap.conversation, start })
    )
  })

  return Overlaps.of({
    note: (overlap) => {
      const copy = { ...overlap, audio: Uint8Array.from(overlap.audio.subarray(0, comparedBytes)) }
      if (!Queue.offerUnsafe(queue, copy)) run(counted("unchecked"))
    },
    check: (recorded) =>
      Queue.take(queue).pipe(
        Effect.flatMap((overlap) =>
          Effect.catchCause(compare(overlap, recorded), (cause) =>
            Effect.andThen(Effect.logDebug("an overlap could not be compared", cause), counted("unchecked"))
          )
        ),
        Effect.forever
      )
  })
})
