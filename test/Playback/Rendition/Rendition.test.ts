/** How far ahead of its listener audio is read. */
import { assert, layer } from "@effect/vitest"
import { Deferred, Effect, Option, Stream } from "effect"
import { MemoryRecording, rate, t0 } from "../support/MemoryRecording.ts"
import { pathOf, wavOf } from "../support/ServedAudio.ts"
import { get, request, servedPlayback } from "../support/ServedPlayback.ts"

const long = new MemoryRecording()
const minutes = 60
long.put(
  "long",
  Array.from({ length: minutes }, (_, i) => ({ start: t0 + i * 60, samples: 60 * rate }))
)
const minute = MemoryRecording.pcm({ start: t0, samples: 60 * rate })
long.sound = () => minute
const size = 44 + minutes * 60 * rate * 2

layer(servedPlayback(long))("a listener", (it) => {
  it.effect("has audio read no faster than it listens", () =>
    Effect.gen(function* () {
      const before = long.bytesRead
      const response = yield* request(pathOf("long"))
      let received = 0
      let ahead = 0
      yield* Stream.runForEach(response.stream, (bytes) =>
        Effect.sync(() => {
          received += bytes.length
          ahead = Math.max(ahead, long.bytesRead - before - received)
        })
      )
      assert.strictEqual(received, size)
      assert.isBelow(ahead, 16 * 1024 * 1024)
    })
  )

  it.effect("stops the reads when it disconnects", () =>
    Effect.gen(function* () {
      const closed = yield* Deferred.make<void>()
      long.onAbandoned = Deferred.succeed(closed, undefined)
      const before = long.bytesRead
      const response = yield* request(pathOf("long"))
      assert.isTrue(Option.isSome(yield* Stream.runHead(response.stream)))
      yield* Deferred.await(closed)
      assert.isBelow(long.bytesRead - before, size / 2)
    })
  )

  it.effect("hears the first of many small chunks in a short range while the others are read", () =>
    Effect.gen(function* () {
      const samples = 1000
      const count = 100
      long.sound = MemoryRecording.pcm
      long.put(
        "small",
        Array.from({ length: count }, (_, i) => ({ start: t0 + (i * samples) / rate, samples }))
      )
      long.instead.set("ada-small-50", Effect.never)
      const response = yield* request(pathOf("small"))
      assert.strictEqual(response.status, 200)
      assert.isTrue(Option.isSome(yield* Stream.runHead(response.stream)))
      long.instead.clear()
      const { body } = yield* get(pathOf("small"))
      assert.isTrue(body.equals(wavOf(MemoryRecording.pcm({ start: t0, samples: count * samples }))))
    })
  )

  it.effect("hears a live conversation up to the last durable sample at the time of the request", () =>
    Effect.gen(function* () {
      const live = (samples: number) =>
        long.put("live", [{ samples: 60 * rate }, { start: t0 + 60, samples, state: "open" }], { live: true })
      long.sound = MemoryRecording.pcm
      live(1000)
      const response = yield* request(pathOf("live"))
      live(50_000)
      const body = Buffer.from(yield* response.arrayBuffer)
      assert.strictEqual(response.headers["content-length"], String(body.length))
      assert.isTrue(body.equals(wavOf(MemoryRecording.pcm({ start: t0, samples: 60 * rate + 1000 }))))
      const later = yield* get(pathOf("live"), { range: `bytes=${body.length}-` })
      assert.strictEqual(later.body.length, 49_000 * 2)
    })
  )
})
