/** Waveforms over HTTP. */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import type { Chunk } from "../../../src/Recording.ts"
import { MemoryRecording, rate, t0 } from "../support/MemoryRecording.ts"
import { get, servedPlayback } from "../support/ServedPlayback.ts"

/** The loudness is the last digit of the chunk's id times 1000. */
const loud = ({ id, samples }: Chunk) => {
  const pcm = Buffer.alloc(samples * 2)
  const level = 1000 * Number(id.at(-1))
  for (let index = 0; index < samples; index++) pcm.writeInt16LE(index % 2 === 0 ? level : -level, index * 2)
  return pcm
}

const recording = new MemoryRecording()
recording.sound = loud
const bytesRead = () => recording.bytesRead
recording.put("other", [{}], { uid: "grace" })
recording.put("empty", [], { live: true })
recording.put(
  "standup",
  [
    { start: t0 },
    { start: t0 + 1 },
    { start: t0 + 2, state: "lost" },
    { start: t0 + 2.5, samples: rate / 2, state: "sealed" },
    { start: t0 + 4, state: "open" },
    { start: t0 + 205 }
  ],
  { live: true }
)
recording.put(
  "day",
  Array.from({ length: 5 }, (_, hour) => ({ start: t0 + hour * 80, samples: 80 * 8000, sampleRate: 8000 }))
)

const json = (path: string, headers: Record<string, string> = {}) =>
  Effect.map(get(path, headers), ({ body, status }) => ({ status, body: JSON.parse(body.toString()) }))

const level = (chunk: number) => Math.ceil((1000 * chunk) / 256)

layer(servedPlayback(recording))("waveform", (it) => {
  it.effect("returns the peaks of every audio file with gaps, losses and stored seconds, without reading audio", () =>
    Effect.gen(function* () {
      const { body, status } = yield* json("/v1/conversations/standup/waveform?points=12")
      const [first, second] = body.audio_files
      assert.deepStrictEqual([status, body.live, body.audio_files.length], [200, true, 2])
      assert.deepStrictEqual(
        first.high,
        [0, 0, 1, 1, null, 3, null, null, 4, 4].map((chunk) => chunk && level(chunk))
      )
      assert.deepStrictEqual(
        first.low,
        [0, 0, -1, -1, null, -3, null, null, -4, -4].map((chunk) => chunk && -level(-chunk))
      )
      assert.deepStrictEqual(first.lost, [[2, 2.5]])
      assert.deepStrictEqual([first.duration, first.stored], [5, 2.5])
      assert.deepStrictEqual([second.high, second.stored, second.lost], [[level(5), level(5)], 1, []])
      assert.strictEqual(second.started_at, "2023-11-14T22:16:45.000Z")
      assert.strictEqual(bytesRead(), 0)
    })
  )

  it.effect("draws a long conversation from one pair of peaks a chunk", () =>
    Effect.gen(function* () {
      const { body } = yield* json("/v1/conversations/day/waveform?points=5")
      assert.deepStrictEqual(body.audio_files[0].high, [0, 1, 2, 3, 4].map(level))
    })
  )

  it.effect("returns the requested number of points, with at least one for each file", () =>
    Effect.gen(function* () {
      const count = (body: { readonly audio_files: ReadonlyArray<{ readonly low: ReadonlyArray<unknown> }> }) =>
        body.audio_files.map(({ low }) => low.length)
      assert.deepStrictEqual(count((yield* json("/v1/conversations/standup/waveform")).body), [833, 167])
      assert.deepStrictEqual(count((yield* json("/v1/conversations/standup/waveform?points=1")).body), [1, 1])
      assert.deepStrictEqual((yield* json("/v1/conversations/empty/waveform")).body, {
        live: true,
        audio_files: [],
        files_next: null
      })
    })
  )

  it.effect("hides other users' waveforms, and rejects invalid numbers of points", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* json("/v1/conversations/other/waveform")).status, 404)
      assert.strictEqual((yield* json("/v1/conversations/other/waveform", { authorization: "" })).status, 401)
      for (const points of ["0", "10001", "x", "1.5"]) {
        assert.strictEqual((yield* json(`/v1/conversations/standup/waveform?points=${points}`)).status, 400, points)
      }
    })
  )
})
