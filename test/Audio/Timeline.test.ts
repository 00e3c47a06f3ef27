/** The places of chunks in audio files. */
import { assert, describe, it } from "@effect/vitest"
import * as Placement from "../../src/Audio/Placement.ts"
import * as Timeline from "../../src/Audio/Timeline.ts"

const rate = 16_000
const maxGap = 90
const t0 = 1_700_000_000.123

const chunk = (start: number, samples: number, more: Partial<Timeline.TimelineChunk> = {}): Timeline.TimelineChunk => ({
  start: t0 + start,
  samples,
  sampleRate: rate,
  codec: "pcm16",
  ...more
})

const pieces = (...chunks: ReadonlyArray<Timeline.TimelineChunk>) =>
  Timeline.layout(chunks, maxGap).map((file) => file.pieces.map(({ offset, samples, skip }) => [offset, skip, samples]))

describe("Timeline", () => {
  it("keeps a bounded state for a day of lost chunks", () => {
    let state: Placement.State | undefined
    let lost = 0
    for (let i = 0; i < 1440; i++) {
      const placement = Placement.place(state, chunk(i * 60.01, 60 * rate, { state: "lost" }), maxGap)
      state = placement.state
      lost += placement.lost
    }
    assert.strictEqual(lost, 1440 * 60 * rate)
    assert.isAtMost(state?.pending.length ?? 0, 2)
  })

  it("keeps later positions when a chunk is inserted before the file", () => {
    const behind = [chunk(10.000_03, rate), chunk(11.000_03, rate), chunk(14.123_456, rate)]
    const heardAt = (...before: ReadonlyArray<Timeline.TimelineChunk>) =>
      Timeline.layout([...before, ...behind], maxGap).flatMap(({ pieces, start }) =>
        pieces.slice(-3).map(({ offset }) => Placement.positionOf(start, rate) + offset)
      )
    assert.deepStrictEqual(heardAt(chunk(3.333_333, rate)), heardAt())
  })

  it("appends a chunk that starts within a millisecond of the end without a gap", () => {
    const whole = [
      [0, 0, rate],
      [rate, 0, rate]
    ]
    for (const off of [0, 0.001, -0.001, 0.0004, -0.0009]) {
      assert.deepStrictEqual(pieces(chunk(0, rate), chunk(1 + off, rate)), [whole], `${off}`)
    }
  })

  it("fills a gap of over a millisecond with silence, rounded to the sample", () => {
    for (const [off, silence] of [
      [0.00102, 16],
      [0.00106, 17],
      [0.5, 8000],
      [89.9999, 89.9999 * rate]
    ] as const) {
      const expected = [
        [0, 0, rate],
        [rate + Math.round(silence), 0, rate]
      ]
      assert.deepStrictEqual(pieces(chunk(0, rate), chunk(1 + off, rate)), [expected], `${off}`)
    }
  })

  it("trims the head of a chunk that overlaps by more than a millisecond", () => {
    assert.deepStrictEqual(pieces(chunk(0, rate), chunk(0.25, rate)), [
      [
        [0, 0, rate],
        [rate, 0.75 * rate, 0.25 * rate]
      ]
    ])
  })

  it("omits a chunk that earlier chunks cover", () => {
    assert.deepStrictEqual(pieces(chunk(0, rate), chunk(0.25, rate / 2), chunk(0, rate), chunk(1, 10)), [
      [
        [0, 0, rate],
        [rate, 0, 10]
      ]
    ])
  })

  it("plays all samples of chunks with the same start, in any order of arrival", () => {
    const same = [chunk(0, 100, { id: "a" }), chunk(0, rate, { id: "c" }), chunk(0, rate, { id: "b" })]
    for (const order of [same, same.toReversed(), [...same.slice(1), ...same.slice(0, 1)]]) {
      const [file] = Timeline.layout(order, maxGap)
      assert.deepStrictEqual(
        file?.pieces.map((piece) => [piece.chunk.id, piece.skip, piece.samples]),
        [
          ["a", 0, 100],
          ["b", 100, rate - 100]
        ]
      )
    }
  })

  it("starts a new audio file only after a gap of more than 90 s", () => {
    assert.lengthOf(pieces(chunk(0, rate), chunk(91, rate)), 1)
    assert.lengthOf(pieces(chunk(0, rate), chunk(91.01, rate)), 2)
    assert.lengthOf(pieces(chunk(0, 200 * rate), chunk(1, rate), chunk(250, rate)), 1)
  })

  it("starts a new audio file when the sample rate or codec changes, and drops no sample", () => {
    const files = Timeline.layout(
      [chunk(0, rate), chunk(0.5, 8000, { sampleRate: 8000 }), chunk(2, 960, { codec: "opus" })],
      maxGap
    )
    assert.deepStrictEqual(
      files.map(({ capturedSamples, codec, sampleRate, start }) => [start, sampleRate, codec, capturedSamples]),
      [
        [t0, rate, "pcm16", rate],
        [t0 + 0.5, 8000, "pcm16", 8000],
        [t0 + 2, rate, "opus", 960]
      ]
    )
  })

  it("stays within a millisecond of the clock over a day of drifting chunks", () => {
    // A device whose crystal is 20 ppm slow: every chunk starts 1.2 ms later than its samples say.
    const drift = 60 * 20e-6
    const day = Array.from({ length: 1440 }, (_, i) => chunk(i * (60 + drift), 60 * rate))
    const [file] = Timeline.layout(day, maxGap)
    for (const piece of file?.pieces ?? []) {
      const clock = piece.chunk.start - t0
      assert.isAtMost(Math.abs(piece.offset / rate - clock), 0.001_001)
    }
    assert.strictEqual(file?.pieces.length, 1440)
  })

  it("accumulates no rounding error over a day of gaps that are a fraction of a sample", () => {
    const step = 60 + 0.002 + 1 / 3 / rate
    const day = Array.from({ length: 1440 }, (_, i) => chunk(i * step, 60 * rate))
    const last = Timeline.layout(day, maxGap)[0]?.pieces.at(-1)
    assert.strictEqual(last?.offset, Math.round(1439 * step * rate))
  })

  it("plays a lost chunk as silence, counts it, and keeps audio that overlaps it", () => {
    const lost = { state: "lost" } as const
    const [file, ...others] = Timeline.layout(
      [chunk(0, rate, lost), chunk(0.5, rate), chunk(1.25, rate, lost), chunk(60, rate, lost), chunk(140, rate)],
      maxGap
    )
    assert.deepStrictEqual(others, [])
    assert.deepStrictEqual(
      file?.pieces.map(({ offset, samples }) => [offset, samples]),
      [
        [rate / 2, rate],
        [140 * rate, rate]
      ]
    )
    assert.strictEqual(file?.start, t0)
    assert.strictEqual(file?.lostSamples, (0.5 + 0.75 + 1) * rate)
    assert.strictEqual(file?.capturedSamples, 2 * rate)
    assert.strictEqual(file?.samples, 141 * rate)
  })

  it("lays out no audio file when there is no audio", () => {
    assert.deepStrictEqual(Timeline.layout([], maxGap), [])
    assert.deepStrictEqual(Timeline.layout([chunk(0, 0)], maxGap), [])
  })

  it("keeps an audio file's id when the file grows or its first chunk is lost", () => {
    const id = (...chunks: ReadonlyArray<Timeline.TimelineChunk>) =>
      Timeline.layout(chunks, maxGap).map((file) => Timeline.fileId("ada", "standup", file))
    const [first] = id(chunk(0, rate))
    assert.match(first ?? "", /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    assert.deepStrictEqual(id(chunk(1, rate), chunk(0, rate)), [first])
    assert.deepStrictEqual(id(chunk(0, rate, { state: "lost" }), chunk(3, rate)), [first])
    const file = { start: t0, sampleRate: rate, codec: "pcm16" } as const
    const others = [
      Timeline.fileId("ada", "standup", file),
      Timeline.fileId("grace", "standup", file),
      Timeline.fileId("ada", "review", file),
      Timeline.fileId("ada", "standup", { ...file, start: t0 + 1e-6 }),
      Timeline.fileId("ada", "standup", { ...file, sampleRate: 8000 })
    ]
    assert.strictEqual(others[0], first)
    assert.strictEqual(new Set(others).size, others.length)
  })
})
