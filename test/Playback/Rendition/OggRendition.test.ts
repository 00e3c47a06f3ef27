/** PCM conversations as Ogg Opus. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Metric, Schema } from "effect"
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { Timeline } from "../../../src/Audio.ts"
import { BulkheadConfig } from "../../../src/Bulkhead.ts"
import { Opus } from "../../../src/Opus.ts"
import { parse, voice } from "../../support/OggFiles.ts"
import { findProgram } from "../../support/Programs.ts"
import { temporaryDirectory } from "../../support/TemporaryDirectory.ts"
import { MemoryRecording, t0 } from "../support/MemoryRecording.ts"
import { get, servedPlayback } from "../support/ServedPlayback.ts"

const recording = new MemoryRecording()
recording.sound = ({ sampleRate, samples, start }) => voice(Math.round((start - t0) * sampleRate), samples, sampleRate)

interface Piece {
  readonly at: number
  readonly samples: number
}

/** Records pieces of the voice, and returns all samples of the file. */
const record = (id: string, sampleRate: number, pieces: ReadonlyArray<Piece>, offset = 0) => {
  recording.put(
    id,
    pieces.map(({ at, samples }) => ({ start: t0 + at / sampleRate, samples, sampleRate }))
  )
  const end = Math.max(...pieces.map(({ at, samples }) => at + samples))
  const pcm = Buffer.alloc(end * 2)
  for (const { at, samples } of pieces) pcm.set(voice(at + offset, samples, sampleRate), at * 2)
  return pcm
}

const pathOf = (id: string, sampleRate: number) =>
  `/v1/sync/audio/${id}/${Timeline.fileId("ada", id, { start: t0, sampleRate, codec: "pcm16" })}?format=ogg`

const decode = Effect.fnUntraced(function* (file: Buffer, sampleRate: number) {
  const { granules, packets, preSkip } = parse(file)
  const skip = (preSkip * sampleRate) / 48_000
  const samples = Math.round(((granules.at(-1) ?? 0) * sampleRate) / 48_000)
  const pcm = yield* Opus.use(({ decode }) => decode("ada", packets, sampleRate, samples))
  return Buffer.from(pcm.subarray(skip * 2))
})

/** Root mean square of the difference of samples `from` to `to`, and of the sound there. */
const differenceOf = (pcm: Buffer, decoded: Buffer, from: number, to: number) => {
  let [error, sound] = [0, 0]
  for (let index = from; index < to; index++) {
    const sample = pcm.readInt16LE(index * 2)
    error += (sample - decoded.readInt16LE(index * 2)) ** 2
    sound += sample ** 2
  }
  return { error: Math.sqrt(error / (to - from)), sound: Math.sqrt(sound / (to - from)) }
}

const codec = Opus.layer.pipe(Layer.provide(BulkheadConfig.layer))

const encodings = Effect.map(Metric.snapshot, (all) =>
  all
    .filter(({ attributes, id }) => id === "spillway_codec_jobs_total" && attributes?.["operation"] === "encode")
    .reduce((sum, { state }) => sum + ("count" in state ? Number(state.count) : 0), 0)
)

const talk = record("talk", 16_000, [
  { at: 0, samples: 100_000 },
  { at: 130_001, samples: 60_000 },
  { at: 190_001, samples: 37 }
])

layer(Layer.merge(servedPlayback(recording), codec))("a PCM conversation as Ogg Opus", (it) => {
  it.effect("is a file of fixed size with the type and the name of an Ogg file", () =>
    Effect.gen(function* () {
      const { body, headers, status } = yield* get(pathOf("talk", 16_000))
      assert.strictEqual(status, 200)
      assert.strictEqual(headers["content-type"], "audio/ogg; codecs=opus")
      assert.strictEqual(headers["content-length"], String(body.length))
      assert.match(headers["content-disposition"] ?? "", /filename="talk-20231114T221320Z\.ogg"$/)
      const file = parse(body)
      assert.isTrue(file.packets.every(({ length }) => length === 80))
      const total = talk.length / 2
      assert.strictEqual((file.granules.at(-1) ?? 0) - file.preSkip, total * 3)
      assert.deepStrictEqual(
        file.granules.slice(0, -1),
        file.granules.slice(1).map((_, index) => (index + 1) * 48_000)
      )
      assert.strictEqual(file.packets.length, Math.ceil((total * 3 + 120) / 960))
      assert.strictEqual(file.sampleRate, 16_000)
    })
  )

  it.effect("sounds as it was recorded, at the borders of blocks as elsewhere", () =>
    Effect.gen(function* () {
      const rate = 16_000
      const pcm = record("long", rate, [{ at: 0, samples: 20 * rate }])
      const { body } = yield* get(pathOf("long", rate))
      const decoded = yield* decode(body, rate)
      assert.strictEqual(decoded.length, pcm.length)
      const whole = differenceOf(pcm, decoded, 0, 20 * rate)
      assert.isBelow(whole.error, whole.sound / 5)
      for (let border = 4 * rate; border < 20 * rate; border += 4 * rate) {
        const near = differenceOf(pcm, decoded, border - 160, border + 320)
        assert.isBelow(near.error, Math.max(whole.error * 2, near.sound / 5), `at ${border / rate} s`)
      }
      assert.isBelow(differenceOf(pcm, decoded, 20 * rate - 320, 20 * rate).error, whole.error * 3)
    })
  )

  it.effect("is silent in gaps", () =>
    Effect.gen(function* () {
      const decoded = yield* decode((yield* get(pathOf("talk", 16_000))).body, 16_000)
      assert.isBelow(differenceOf(Buffer.alloc(talk.length), decoded, 102_000, 129_000).error, 4)
    })
  )

  for (const sampleRate of [8_000, 11_025, 12_000, 22_050, 24_000, 44_100, 44_101, 48_000]) {
    it.effect(`has the right length and sound at ${sampleRate} Hz`, () =>
      Effect.gen(function* () {
        const samples = Math.round(4.7 * sampleRate)
        const pcm = record(`rate-${sampleRate}`, sampleRate, [{ at: 0, samples }])
        const { body } = yield* get(pathOf(`rate-${sampleRate}`, sampleRate))
        const { granules, preSkip } = parse(body)
        assert.strictEqual((granules.at(-1) ?? 0) - preSkip, Math.round((samples * 48_000) / sampleRate))
        const decoded = yield* decode(body, 48_000)
        // The voice at 48 kHz, from the sample that was recorded at the same time.
        const expected = voice(0, decoded.length / 2, 48_000)
        const { error, sound } = differenceOf(expected, decoded, 0, decoded.length / 2 - 480)
        assert.isBelow(error, sound / 4)
        assert.strictEqual(pcm.length, samples * 2)
      })
    )
  }

  const Share = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))
  const Length = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 60_000 }))
  let runs = 0
  it.effect.prop(
    "has in any range exactly the bytes of the whole, however the same audio was cut and recorded",
    {
      cuts: Schema.NonEmptyArray(Length).check(Schema.isMaxLength(5)),
      gap: Length,
      rate: Schema.Literals([8_000, 11_025, 16_000, 44_100]),
      from: Share,
      to: Share
    },
    Effect.fnUntraced(function* ({ cuts, from, gap, rate, to }) {
      const total = cuts.reduce((sum, cut) => sum + cut, 0)
      const last = { at: total + gap, samples: 5_000 }
      const pieces = cuts.map((samples, index) => ({
        at: cuts.slice(0, index).reduce((sum, cut) => sum + cut, 0),
        samples
      }))
      record(`cut-${++runs}`, rate, [...pieces, last])
      record(`whole-${runs}`, rate, [{ at: 0, samples: total }, last])
      const whole = yield* get(pathOf(`whole-${runs}`, rate))
      const size = whole.body.length
      const [start, end] = [Math.floor(Math.min(from, to) * size), Math.ceil(Math.max(from, to) * size)]
      const first = Math.min(start, size - 1)
      const range = yield* get(pathOf(`whole-${runs}`, rate), { range: `bytes=${first}-${end}` })
      assert.isTrue(range.body.equals(whole.body.subarray(first, end + 1)))
      const cut = yield* get(pathOf(`cut-${runs}`, rate))
      const [{ serial: _, ...expected }, { serial, ...actual }] = [parse(whole.body), parse(cut.body)]
      assert.isAbove(serial, 0)
      assert.deepStrictEqual(actual, expected)
    }),
    { arbitrary: { runs: 15 } }
  )

  it.effect("keeps the bytes of complete blocks while the conversation grows, under another ETag", () =>
    Effect.gen(function* () {
      const rate = 16_000
      record("grows", rate, [{ at: 0, samples: 9 * rate }])
      const before = yield* get(pathOf("grows", rate))
      record("grows", rate, [{ at: 0, samples: 11 * rate }])
      const after = yield* get(pathOf("grows", rate))
      const eightSeconds = 99 + 8 * 4_077
      assert.isTrue(after.body.subarray(0, eightSeconds).equals(before.body.subarray(0, eightSeconds)))
      assert.isFalse(after.body.subarray(0, before.body.length).equals(before.body))
      assert.notStrictEqual(after.headers["etag"], before.headers["etag"])
      assert.isTrue((yield* decode(after.body, rate)).length === 11 * rate * 2)
    })
  )

  it.effect("has audio that was inserted into a part that a listener has heard as silence", () =>
    Effect.gen(function* () {
      const rate = 16_000
      const [first, late, last] = [0, 3, 6].map((second) => ({ at: second * rate, samples: 3 * rate }))
      if (first === undefined || late === undefined || last === undefined) return assert.fail("three pieces")
      // As of a live conversation, whose version audio before its last chunk does not change.
      record("inserted", rate, [first, last])
      yield* get(pathOf("inserted", rate))
      const pcm = record("inserted", rate, [first, late, last])
      const decoded = yield* decode((yield* get(pathOf("inserted", rate))).body, rate)
      const { error, sound } = differenceOf(pcm, decoded, 3 * rate, 6 * rate)
      assert.isBelow(error, sound / 4)
    })
  )

  it.effect("is encoded once for a listener who seeks, and only where the listener is", () =>
    Effect.gen(function* () {
      const rate = 16_000
      record("seeks", rate, [{ at: 0, samples: 60 * rate }])
      const before = yield* encodings
      const bytesBefore = recording.bytesRead
      const seek = get(pathOf("seeks", rate), { range: "bytes=170000-180000" })
      const first = yield* seek
      assert.strictEqual((yield* encodings) - before, 2)
      assert.isBelow(recording.bytesRead - bytesBefore, 60 * rate)
      const bytesAfter = recording.bytesRead
      assert.isTrue((yield* seek).body.equals(first.body))
      assert.strictEqual((yield* encodings) - before, 2)
      assert.strictEqual(recording.bytesRead, bytesAfter)
    })
  )

  it.effect("fails with the reason when its audio can't be read", () =>
    Effect.gen(function* () {
      recording.put("damaged", [{ start: t0, samples: 16_000 }])
      recording.unreadable.add("ada-damaged-0")
      assert.strictEqual((yield* get(pathOf("damaged", 16_000))).status, 500)
    })
  )

  const programs = ["ffprobe", "ffmpeg", "opusinfo"].map((name) => findProgram(name, "tests of Ogg files with players"))
  const [ffprobe = "", ffmpeg = "", opusinfo = ""] = programs
  it.effect.skipIf(programs.includes(undefined))(
    "is accepted by players without a warning, with its exact length",
    () =>
      Effect.gen(function* () {
        const path = Path.join(yield* temporaryDirectory, "talk.ogg")
        Fs.writeFileSync(path, (yield* get(pathOf("talk", 16_000))).body)
        const seconds = talk.length / 2 / 16_000
        const show = [
          "-v",
          "warning",
          "-show_entries",
          "stream=start_pts,duration_ts,codec_name",
          "-of",
          "csv=p=0",
          path
        ]
        assert.strictEqual(execFileSync(ffprobe, show, { encoding: "utf8" }).trim(), `opus,0,${seconds * 48_000 + 120}`)
        const pcm = execFileSync(ffmpeg, ["-v", "warning", "-i", path, "-f", "s16le", "-"], {
          stdio: ["ignore", "pipe", "inherit"],
          maxBuffer: 16 * 1024 * 1024
        })
        assert.strictEqual(pcm.length, seconds * 48_000 * 2)
        const told = execFileSync(opusinfo, [path], { encoding: "utf8" })
        assert.notMatch(told, /warning|error/i)
        assert.include(told, `Playback length: 0m:${seconds.toFixed(3)}s`)
      })
  )
})
