/** What is sent twice is compared with what is kept. */
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Metric, References, Stream } from "effect"
import type { Chunk } from "../../src/Recording.ts"
import { Overlaps } from "../../src/Recording/Overlaps.ts"
import { ramp, recordingConfig } from "./support/TestNode.ts"

const rate = 8000
const epoch = 1_700_000_000

const chunk = (start: number, samples: number, state: Chunk["state"] = "stored"): Chunk => ({
  id: String(start),
  uid: "u",
  conversation: "c",
  start,
  samples,
  sampleRate: rate,
  codec: "pcm16",
  state,
  key: "k"
})

const results = Effect.map(Metric.snapshot, (metrics) =>
  Object.fromEntries(
    metrics.flatMap((metric) =>
      metric.id === "spillway_overlaps_total" && metric.type === "Counter"
        ? [[String(metric.attributes?.["result"]), Number(metric.state.count)]]
        : []
    )
  )
)

const kept = [chunk(epoch, 800), chunk(epoch + 0.1, 800), chunk(epoch + 0.2, 800, "lost")]
const recorded = {
  chunks: () => Effect.succeed(kept),
  read: (chunk: Chunk, start: number, end: number) =>
    Stream.make(ramp(800, Math.round((chunk.start - epoch) * rate)).subarray(start, end))
}

const overlap = (from: number, audio: Uint8Array) => ({
  uid: "u",
  conversation: "c",
  start: epoch + from / rate,
  sampleRate: rate,
  audio
})

it.effect("counts the same audio and other audio apart, and what it has no room to look at", () =>
  Effect.gen(function* () {
    const overlaps = yield* Overlaps
    const different = ramp(400, 600)
    different[301] = (different[301] ?? 0) ^ 1
    overlaps.note(overlap(600, ramp(400, 600)))
    overlaps.note(overlap(600, different))
    overlaps.note(overlap(1500, ramp(400, 1500)))
    overlaps.note(overlap(0, ramp(10)))
    yield* Effect.forkScoped(overlaps.check(recorded))
    while (((yield* results)["same"] ?? 0) < 2) yield* Effect.yieldNow
    assert.deepStrictEqual(yield* results, { same: 2, different: 1, unchecked: 1 })
  }).pipe(
    Effect.provide(Overlaps.layer.pipe(Layer.provide(recordingConfig({ overlapChecks: 3 })))),
    Effect.provideService(References.MinimumLogLevel, "None")
  )
)
