/** `src/Playback/Rendition/OggRendition.ts` of Opus conversations: their packets as they were recorded. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { Timeline } from "../../../src/Audio.ts"
import { BulkheadConfig } from "../../../src/Bulkhead.ts"
import { Opus } from "../../../src/Opus.ts"
import * as OggRendition from "../../../src/Playback/Rendition/OggRendition.ts"
import { type Chunk, ChunkUnreadable, type RecordedFile } from "../../../src/Recording.ts"
import * as OpusTone from "../../Recording/support/OpusTone.ts"
import { parse } from "../../support/OggFiles.ts"
import { findProgram } from "../../support/Programs.ts"
import { temporaryDirectory } from "../../support/TemporaryDirectory.ts"
import { MemoryRecording, t0 } from "../support/MemoryRecording.ts"
import { get, servedPlayback } from "../support/ServedPlayback.ts"

const recording = new MemoryRecording()
const { sampleRate } = OpusTone

/** Chunks of half a second of a tone that begin at these seconds. */
const record = (id: string, starts: ReadonlyArray<number>, state: "stored" | "open" = "stored") => {
  recording.put(
    id,
    starts.map((at) => ({
      start: t0 + at,
      samples: OpusTone.samples,
      codec: "opus",
      key: `chunks/ada/${id}/${(t0 + at).toFixed(3)}.opus`,
      state
    }))
  )
  starts.forEach((_, index) => recording.packets.set(`ada-${id}-${index}`, OpusTone.packets))
}

const pathOf = (id: string) =>
  `/v1/sync/audio/${id}/${Timeline.fileId("ada", id, { start: t0, sampleRate, codec: "opus" })}?format=ogg`

record("talk", [0, 0.5, 3.003_125])

const codec = Opus.layer.pipe(Layer.provide(BulkheadConfig.layer))

layer(Layer.merge(servedPlayback(recording), codec))("an Opus conversation as Ogg", (it) => {
  it.effect("has the recorded packets, silence between them, and no length before its end", () =>
    Effect.gen(function* () {
      const { body, headers, status } = yield* get(pathOf("talk"), { range: "bytes=0-9" })
      assert.strictEqual(status, 200)
      assert.strictEqual(headers["content-type"], "audio/ogg; codecs=opus")
      assert.strictEqual(headers["accept-ranges"], "none")
      assert.isUndefined(headers["content-length"])
      assert.match(headers["etag"] ?? "", /^"ogg-/)
      const { granules, packets } = parse(body)
      assert.strictEqual(granules.at(-1), 3.503_125 * 48_000 + 120)
      const tone = Buffer.concat(OpusTone.packets)
      assert.isTrue(Buffer.concat(packets.slice(0, 50)).equals(Buffer.concat([tone, tone])))
      const last = packets.slice(-27).filter(({ length }) => length > 3)
      assert.isTrue(Buffer.concat(last).equals(tone))
      assert.isTrue(packets.slice(50, -27).every(({ length }) => length === 3))
    })
  )

  it.effect("sounds where it was recorded", () =>
    Effect.gen(function* () {
      const { packets } = parse((yield* get(pathOf("talk"))).body)
      const pcm = yield* Opus.use(({ decode }) => decode("ada", packets, sampleRate, 4 * sampleRate))
      for (const from of [0.1, 0.6, 3.1].map((second) => second * sampleRate))
        assert.isAbove(OpusTone.toneShare(pcm, from, from + 6_000), 0.95)
      const silent = Buffer.from(pcm.subarray(1.1 * sampleRate * 2, 2.9 * sampleRate * 2))
      assert.isTrue(silent.every((byte) => byte === 0))
    })
  )

  it.effect("ends where the file ended at the request when its last chunk grows meanwhile", () =>
    Effect.gen(function* () {
      const chunk: Chunk = {
        id: "c",
        uid: "ada",
        conversation: "growing",
        start: t0,
        samples: OpusTone.samples,
        sampleRate,
        codec: "opus",
        state: "open",
        key: "chunks/ada/growing/0.opus"
      }
      // Half of it was durable.
      const samples = OpusTone.samples / 2
      const file: RecordedFile = {
        id: "file",
        start: t0,
        sampleRate,
        codec: "opus",
        samples,
        capturedSamples: samples,
        lostSamples: 0,
        version: "0",
        pieces: (_, end) => Effect.succeed({ pieces: [{ chunk, offset: 0, skip: 0, samples: chunk.samples }], end })
      }
      const { begin } = OggRendition.recorded({ packets: () => Effect.succeed(OpusTone.packets) }, file, '"etag"')
      const { first, next } = yield* begin({ start: 0, end: Infinity })
      const pages = [...first]
      for (let more = yield* next; more !== undefined; more = yield* next) pages.push(...more)
      assert.strictEqual(parse(Buffer.concat(pages)).granules.at(-1), (samples / sampleRate) * 48_000 + 120)
    })
  )

  it.effect("has no length in the answer to HEAD", () =>
    Effect.gen(function* () {
      const { headers, status } = yield* get(pathOf("talk"), {}, "HEAD")
      assert.deepStrictEqual([status, headers["content-length"]], [200, undefined])
    })
  )

  it.effect("fails with the reason when its first audio can't be read, and is cut at a later one", () =>
    Effect.gen(function* () {
      record("damaged", [0, 0.5, 60])
      const cause = new ChunkUnreadable({ uid: "ada", conversation: "damaged", key: "k", cause: new Error("damaged") })
      recording.instead.set("ada-damaged-2", Effect.fail(cause))
      assert.isTrue((yield* Effect.exit(get(pathOf("damaged"))))._tag === "Failure")
      recording.instead.set("ada-damaged-0", Effect.fail(cause))
      assert.strictEqual((yield* get(pathOf("damaged"))).status, 500)
    })
  )

  const programs = ["ffprobe", "ffmpeg", "opusinfo"].map((name) => findProgram(name, "tests of Ogg files with players"))
  const [ffprobe = "", ffmpeg = "", opusinfo = ""] = programs
  it.effect.skipIf(programs.includes(undefined))(
    "is accepted by players without a warning, with its exact length",
    () =>
      Effect.gen(function* () {
        const path = Path.join(yield* temporaryDirectory, "talk.ogg")
        Fs.writeFileSync(path, (yield* get(pathOf("talk"))).body)
        const options = ["-v", "warning", "-show_entries", "stream=start_pts,duration_ts", "-of", "csv=p=0", path]
        assert.strictEqual(execFileSync(ffprobe, options, { encoding: "utf8" }).trim(), `0,${3.503_125 * 48_000 + 120}`)
        const played = execFileSync(ffmpeg, ["-v", "warning", "-i", path, "-f", "s16le", "-"], { maxBuffer: 16e6 })
        assert.strictEqual(played.length, 3.503_125 * 48_000 * 2)
        assert.notMatch(execFileSync(opusinfo, [path], { encoding: "utf8" }), /warning|error/i)
      })
  )
})
