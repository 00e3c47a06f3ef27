/** Any range of several audio files as one equals the same range of their audio, one after another. */
import { assert, it } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import { Timeline } from "../../../src/Audio.ts"
import * as Concatenation from "../../../src/Playback/Rendition/Concatenation.ts"
import * as Rendition from "../../../src/Playback/Rendition/Rendition.ts"
import { AudioFileChanged, type Chunk, type RecordedFile } from "../../../src/Recording.ts"
import { type Cut, Jittered, jittered, Overlapping, overlapping, type Recorded } from "../../Audio/support/Cuts.ts"
import { wavOf } from "../../support/WavFiles.ts"

const Millionth = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_000_000 }))
const Pair = Schema.Struct({ a: Millionth, b: Millionth })
const Pairs = Schema.Array(Pair).check(Schema.isMaxLength(6))
const Recordings = <S extends Schema.Top>(one: S) =>
  Schema.Array(one).check(Schema.isMinLength(1), Schema.isMaxLength(5))

/** Further apart than any gap within an audio file. */
const apart = 1_000

interface Open extends RecordedFile {
  /** Pages that were read. */
  reads: number
}

/** The audio files of recordings, `apart` seconds from each other, with pages of two pieces. */
const opened = (recordings: ReadonlyArray<Recorded>) => {
  const pcm = new Map<string, Uint8Array>()
  const chunks = recordings.flatMap((recorded, at) =>
    recorded.chunks.map((cut: Cut, index): Chunk => {
      const id = `${at}-${index}`
      pcm.set(id, cut.pcm)
      return { ...cut, id, uid: "u", conversation: "c", start: cut.start + at * apart, state: "stored", key: id }
    })
  )
  const lost = recordings.flatMap(({ chunks }) => chunks.map(({ state }) => state === "lost"))
  const all = chunks.map((chunk, index): Chunk => (lost[index] === true ? { ...chunk, state: "lost" } : chunk))
  const files = Timeline.layout(all).map((file, index): Open => {
    const open: Open = {
      ...file,
      id: `file${index}`,
      version: `${index}`,
      reads: 0,
      pieces: (from, to) => {
        assert.isTrue(0 <= from && from < to && to <= file.samples, "reads within the file")
        open.reads++
        const found = file.pieces.filter(({ offset, samples }) => offset < to && offset + samples > from)
        return Effect.succeed({ pieces: found.slice(0, 2), end: found[2]?.offset ?? to })
      }
    }
    return open
  })
  const bytesOf = (chunk: Chunk, { end, start }: { readonly start: number; readonly end: number }) =>
    (pcm.get(chunk.id) ?? assert.fail("an unknown chunk")).subarray(start, end)
  const audio = {
    read: (chunk: Chunk, range: { readonly start: number; readonly end: number }) =>
      Stream.succeed(bytesOf(chunk, range)),
    piece: (chunk: Chunk, range: { readonly start: number; readonly end: number }) =>
      Effect.succeed(bytesOf(chunk, range))
  }
  return { files, audio }
}

const check = Effect.fnUntraced(function* (
  recordings: ReadonlyArray<Recorded>,
  rate: number,
  cuts: typeof Pairs.Type,
  ranges: typeof Pairs.Type
) {
  const { audio, files } = opened(recordings)
  assert.strictEqual(files.length, recordings.length)
  const parts = files.map((file, index) => {
    const { a, b } = cuts[index] ?? { a: 0, b: 1_000_000 }
    const at = (millionth: number) => Math.round((millionth / 1e6) * file.samples)
    return { file, from: at(Math.min(a, b)), to: at(Math.max(a, b)) }
  })
  const pcm = Buffer.concat(
    parts.map(({ from, to }, index) => Buffer.from(recordings[index]?.pcm ?? []).subarray(from * 2, to * 2))
  )
  const file = Concatenation.concatenate("all", parts)
  if (file === undefined) return assert.strictEqual(pcm.length, 0)
  assert.strictEqual(file.samples * 2, pcm.length)
  if (cuts.length === 0)
    assert.strictEqual(
      file.lostSamples,
      recordings.reduce((sum, { lostSamples }) => sum + lostSamples, 0)
    )
  for (const [format, whole] of [
    ["wav", wavOf(pcm, rate)],
    ["pcm", pcm]
  ] as const) {
    const rendition = Rendition.make(audio, file, format)
    assert.strictEqual(rendition.size, whole.length)
    for (const { a, b } of [{ a: 0, b: 1_000_000 }, ...ranges]) {
      const start = Math.round((Math.min(a, b) / 1e6) * whole.length)
      const end = Math.round((Math.max(a, b) / 1e6) * whole.length)
      const { first, next } = yield* rendition.begin({ start, end })
      const read = [...first]
      for (let more = yield* next; more !== undefined; more = yield* next) read.push(...more)
      assert.isTrue(Buffer.concat(read).equals(whole.subarray(start, end)), `${format} ${start}-${end}`)
    }
  }
}, Effect.scoped)

it.effect.prop(
  "reads any range as the same bytes of all files, with gaps, overlaps and losses in any order",
  { options: Recordings(Overlapping), cuts: Pairs, ranges: Pairs },
  ({ cuts, options, ranges }) => {
    const rate = options[0]?.rate ?? 8000
    return check(
      options.map((one) => overlapping({ ...one, rate })),
      rate,
      cuts,
      ranges
    )
  },
  { arbitrary: { runs: 80 } }
)

it.effect.prop(
  "reads any range as the same bytes of all files when clocks are off by under a millisecond",
  { options: Recordings(Jittered), cuts: Pairs, ranges: Pairs },
  ({ cuts, options, ranges }) => {
    const rate = options[0]?.rate ?? 8000
    return check(
      options.map((one) => jittered({ ...one, rate })),
      rate,
      cuts,
      ranges
    )
  },
  { arbitrary: { runs: 60 } }
)

const rate = 8000
const file = (index: number, more: Partial<RecordedFile> = {}): Open => {
  const open: Open = {
    id: `file${index}`,
    version: "1",
    start: index * apart,
    sampleRate: rate,
    codec: "pcm16",
    samples: rate,
    capturedSamples: rate,
    lostSamples: 0,
    reads: 0,
    pieces: (_, to) => {
      open.reads++
      return Effect.succeed({ pieces: [], end: to })
    },
    ...more
  }
  return open
}
const joined = (files: ReadonlyArray<RecordedFile>) =>
  Concatenation.concatenate(
    "all",
    files.map((file) => ({ file, from: 0, to: file.samples }))
  )

it.effect("opens only the files of a range", () =>
  Effect.gen(function* () {
    const files = Array.from({ length: 1_000 }, (_, index) => file(index))
    const whole = joined(files) ?? assert.fail("no file")
    const middle = 500 * rate
    for (let at = middle - 10; at < middle + 10;) at = (yield* whole.pieces(at, middle + 10)).end
    assert.deepStrictEqual(
      files.flatMap(({ id, reads }) => (reads > 0 ? [[id, reads]] : [])),
      [
        ["file499", 1],
        ["file500", 1]
      ]
    )
  })
)

it.effect("keeps its version while its last file grows, and changes it with any bytes before", () =>
  Effect.gen(function* () {
    const versionOf = (...files: ReadonlyArray<RecordedFile>) => joined(files)?.version
    const version = versionOf(file(0), file(1))
    assert.match(version ?? "", /^[A-Za-z0-9_-]+$/)
    assert.strictEqual(versionOf(file(0), file(1, { samples: 2 * rate })), version)
    for (const other of [
      versionOf(file(0, { samples: 2 * rate }), file(1)),
      versionOf(file(0, { version: "2" }), file(1)),
      versionOf(file(0), file(1, { version: "2" })),
      versionOf(file(0), file(2)),
      versionOf(file(1)),
      versionOf(file(0), file(1), file(2))
    ]) {
      assert.notStrictEqual(other, version)
    }
    const changed = new AudioFileChanged({ uid: "u", conversation: "c", file: "file1" })
    const whole = joined([file(0), file(1, { pieces: () => Effect.fail(changed) })])
    assert.strictEqual(yield* Effect.flip(whole?.pieces(rate, rate + 1) ?? Effect.void), changed)
  })
)

it("of a part of a file has another version when audio was inserted into the file, wherever", () => {
  const gap = { samples: 4 * rate, capturedSamples: 2 * rate }
  const etagOf = (from: number, to: number, more: Partial<RecordedFile>) => {
    const part = Concatenation.concatenate("part", [{ file: file(0, { ...gap, ...more }), from, to }])
    return Rendition.etagOf(part ?? assert.fail("no audio"), "wav")
  }
  for (const [from, to] of [
    [0, 2 * rate],
    [rate, 4 * rate],
    [rate, 3 * rate]
  ] as const) {
    assert.strictEqual(etagOf(from, to, {}), etagOf(from, to, {}))
    assert.notStrictEqual(etagOf(from, to, { capturedSamples: 3 * rate }), etagOf(from, to, {}))
    assert.notStrictEqual(etagOf(from, to, { lostSamples: 1 }), etagOf(from, to, {}))
  }
})

it("is no file without audio or with several sample rates", () => {
  assert.isUndefined(joined([]))
  assert.isUndefined(Concatenation.concatenate("all", [{ file: file(0), from: 5, to: 5 }]))
  assert.isUndefined(joined([file(0), file(1, { sampleRate: 16_000 })]))
  assert.strictEqual(joined([file(0), file(1, { codec: "opus" })])?.codec, "pcm16")
})
