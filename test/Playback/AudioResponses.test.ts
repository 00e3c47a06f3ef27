/** How much audio is sent at the same time. */
import { assert, layer } from "@effect/vitest"
import { Effect, Exit, Scope, Stream } from "effect"
import { Timeline } from "../../src/Audio.ts"
import { MemoryRecording, rate, t0 } from "./support/MemoryRecording.ts"
import { get, request, servedPlayback } from "./support/ServedPlayback.ts"

const recording = new MemoryRecording()
recording.put("talk", [{ start: t0, samples: rate * 600 }])

const path = `/v1/sync/audio/talk/${Timeline.fileId("ada", "talk", { start: t0, sampleRate: rate, codec: "pcm16" })}`
const head = { range: "bytes=0-99" }

/** A response whose body nobody reads further than its first piece; answers what closes it. */
const stalled = Effect.gen(function* () {
  const scope = yield* Scope.make()
  const response = yield* Scope.provide(request(path), scope)
  assert.strictEqual(response.status, 200)
  yield* Scope.provide(Stream.toPull(response.stream), scope).pipe(Effect.flatMap((pull) => pull))
  return { end: Scope.close(scope, Exit.void) }
})

layer(servedPlayback(recording, { SPILLWAY_AUDIO_RESPONSES_PER_USER: "2", SPILLWAY_AUDIO_RESPONSES: "3" }), {
  excludeTestServices: true
})("audio responses", (it) => {
  it.effect("are bounded per user: one more is answered with 429 until one ends", () =>
    Effect.gen(function* () {
      for (let i = 0; i < 5; i++) assert.strictEqual((yield* get(path, head)).status, 206)
      const { end } = yield* stalled
      yield* stalled
      const refused = yield* get(path, head)
      assert.strictEqual(refused.status, 429)
      assert.strictEqual(refused.headers["retry-after"], "5")
      assert.match(refused.body.toString(), /A user may have 2 at once \(SPILLWAY_AUDIO_RESPONSES_PER_USER\)/)
      const other = yield* get("/v1/sync/audio/talk/none", { authorization: "Bearer spw_grace" })
      assert.strictEqual(other.status, 404)
      yield* end
      const again = yield* Effect.repeat(get(path, head), { until: ({ status }) => status !== 429, times: 1_000 })
      assert.strictEqual(again.status, 206)
    })
  )
})
