/** Exports over HTTP, compared with the audio of the layout sample by sample. */
import { assert, layer } from "@effect/vitest"
import { Effect, Exit, Schema } from "effect"
import { Timeline } from "../../../src/Audio.ts"
import { secondsOf } from "../../../src/Playback/Export/ExportApi.ts"
import { MemoryRecording, rate, t0 } from "../support/MemoryRecording.ts"
import { idOf, wavOf } from "../support/ServedAudio.ts"
import { get, servedPlayback } from "../support/ServedPlayback.ts"
import { unpack } from "./support/ZipReader.ts"

const recording = new MemoryRecording()

/** Three audio files: with a gap and an overlap, with a start between two samples, and with lost audio. */
const chunks = [
  { start: t0 },
  { start: t0 + 2, samples: 8_001 },
  { start: t0 + 2.25, samples: 8_000 },
  { start: t0 + 100.000_031, samples: 12_345 },
  { start: t0 + 300, samples: 4_000 },
  { start: t0 + 300.25, samples: 4_000, state: "lost" as const },
  { start: t0 + 301, samples: 4_000 }
].map((chunk, index) => ({ samples: rate, sampleRate: rate, codec: "pcm16" as const, id: `${index}`, ...chunk }))
recording.put("talk", chunks)
recording.put("other", [{ start: t0 }], { uid: "grace" })
recording.put("empty", [])

interface Sample {
  readonly at: number
  readonly file: number
  readonly value: number
}

/** Every sample of the reference layout with its time. */
const samples = Timeline.layout(chunks).flatMap((file, index) => {
  const values = new Int16Array(file.samples)
  for (const { chunk, offset, samples, skip } of file.pieces) {
    const pcm = MemoryRecording.pcm(chunk)
    for (let at = 0; at < samples; at++) values[offset + at] = pcm.readInt16LE((skip + at) * 2)
  }
  return Array.from(values, (value, at): Sample => ({ at: file.start + at / rate, file: index, value }))
})

const pcmOf = (of: ReadonlyArray<Sample>) => Buffer.from(Int16Array.from(of, ({ value }) => value).buffer)
/** Within a fraction of a sample, a time is that of the sample. */
const within = (from: number, to: number) => samples.filter(({ at }) => at >= from - 1e-7 && at < to - 1e-7)

const exported = (query = "", headers = {}, method: "GET" | "HEAD" = "GET") =>
  get(`/v1/conversations/talk/export${query}`, headers, method)
const decode = (body: Buffer) => JSON.parse(body.toString())

const Micros = Schema.Int.check(Schema.isBetween({ minimum: -500_000, maximum: 302_000_000 }))
const Near = Schema.Literals([0, 1_000_000, 2_250_000, 2_750_000, 100_000_031, 100_771_594, 300_250_000, 301_250_000])
const Time = Schema.Union([Micros, Near])
const text = (micros: number) => (t0 + micros / 1e6).toFixed(6)

layer(servedPlayback(recording))("an export", (it) => {
  it.effect.prop(
    "has exactly the samples of its time, in one file and in one for each audio file",
    { a: Time, b: Time },
    Effect.fnUntraced(function* ({ a, b }) {
      const [from, to] = [Math.min(a, b), Math.max(a, b)]
      if (from === to) return
      const wanted = within(Number(text(from)), Number(text(to)))
      const query = `?from=${text(from)}&to=${text(to)}`
      const wav = yield* exported(query)
      const zip = yield* exported(`${query}&format=zip`)
      if (wanted.length === 0) return assert.deepStrictEqual([wav.status, zip.status], [404, 404])
      assert.deepStrictEqual([wav.status, zip.status], [200, 200])
      assert.isTrue(wav.body.equals(wavOf(pcmOf(wanted))), "wav")
      const [manifest, ...files] = unpack(zip.body)
      const numbers = [...new Set(wanted.map(({ file }) => file))]
      assert.strictEqual(files.length, numbers.length)
      for (const [index, { content }] of files.entries())
        assert.isTrue(content.equals(wavOf(pcmOf(wanted.filter(({ file }) => file === numbers[index])))), "zip")
      const described = decode(manifest?.content ?? Buffer.alloc(0)).files
      assert.deepStrictEqual(
        described.map(({ duration, name }: { duration: number; name: string }) => [name, Math.round(duration * rate)]),
        files.map(({ content, name }) => [name, (content.length - 44) / 2])
      )
    }),
    { arbitrary: { runs: 30 } }
  )

  it.effect("in parts that meet has every sample once", () =>
    Effect.gen(function* () {
      const cut = "2023-11-14T22:13:22.4000313Z"
      const parts = [yield* exported(`?to=${cut}`), yield* exported(`?from=${cut}`)]
      const pcm = Buffer.concat(parts.map(({ body }) => body.subarray(44)))
      assert.isTrue(pcm.equals(pcmOf(samples)))
    })
  )

  it.effect("of everything is a download with a name, takes ranges, and answers HEAD without reading audio", () =>
    Effect.gen(function* () {
      const whole = wavOf(pcmOf(samples))
      const { body, headers } = yield* exported()
      assert.isTrue(body.equals(whole))
      assert.strictEqual(headers["content-disposition"], 'attachment; filename="talk-20231114T221320Z.wav"')
      const range = yield* exported("", { range: "bytes=1000-", "if-range": headers["etag"] ?? "" })
      assert.strictEqual(range.status, 206)
      assert.isTrue(range.body.equals(whole.subarray(1000)))
      const zip = yield* exported("?format=zip", { range: "bytes=1000-" })
      assert.strictEqual(zip.status, 200)
      assert.strictEqual(zip.headers["content-length"], String(zip.body.length))
      assert.strictEqual(zip.headers["content-type"], "application/zip")
      assert.strictEqual(zip.headers["accept-ranges"], "none")
      assert.strictEqual(zip.headers["content-disposition"], 'attachment; filename="talk-20231114T221320Z.zip"')
      const read = recording.bytesRead
      const heads = [yield* exported("", {}, "HEAD"), yield* exported("?format=zip", {}, "HEAD")]
      assert.deepStrictEqual(
        heads.map(({ headers }) => headers["content-length"]),
        [String(body.length), String(zip.body.length)]
      )
      assert.strictEqual(recording.bytesRead, read)
    })
  )

  it.effect("describes its audio files", () =>
    Effect.gen(function* () {
      const [manifest, ...files] = unpack((yield* exported("?format=zip&from=2023-11-14T22:13:21Z")).body)
      assert.deepStrictEqual(
        [manifest, ...files].map((entry) => entry?.name),
        ["manifest.json", "0001-20231114T221321Z.wav", "0002-20231114T221500Z.wav", "0003-20231114T221820Z.wav"]
      )
      assert.deepStrictEqual(decode(manifest?.content ?? Buffer.alloc(0)), {
        conversation: "talk",
        from: "2023-11-14T22:13:21.000Z",
        to: null,
        files: [
          {
            name: "0001-20231114T221321Z.wav",
            id: idOf("talk"),
            started_at: "2023-11-14T22:13:21.000Z",
            duration: 1.75,
            sample_rate: rate,
            captured_duration: null,
            lost_seconds: null
          },
          {
            name: "0002-20231114T221500Z.wav",
            id: idOf("talk", t0 + 100.000_031),
            started_at: "2023-11-14T22:15:00.000Z",
            duration: 12_345 / rate,
            sample_rate: rate,
            captured_duration: 12_345 / rate,
            lost_seconds: 0
          },
          {
            name: "0003-20231114T221820Z.wav",
            id: idOf("talk", t0 + 300),
            started_at: "2023-11-14T22:18:20.000Z",
            duration: 1.25,
            sample_rate: rate,
            captured_duration: 0.5,
            lost_seconds: 0.25
          }
        ]
      })
      assert.deepStrictEqual(files[1]?.modified, t0 + 100)
    })
  )

  it.effect("is refused without audio, of another user, and with times that are no times", () =>
    Effect.gen(function* () {
      const statusOf = (path: string) => Effect.map(get(`/v1/conversations/${path}`), ({ status }) => status)
      for (const path of ["other/export", "none/export", "empty/export", `talk/export?from=${t0 + 10}&to=${t0 + 20}`])
        assert.strictEqual(yield* statusOf(path), 404, path)
      for (const query of [
        "from=yesterday",
        "from=2023-02-30T00:00:00Z",
        "to=1e9",
        "from=20&to=10",
        "from=5&to=5",
        "format=mp3"
      ])
        assert.strictEqual(yield* statusOf(`talk/export?${query}`), 400, query)
      assert.strictEqual((yield* get("/v1/conversations/talk/export", { authorization: "Bearer spw_eve" })).status, 401)
    })
  )

  it.effect("of several sample rates is an archive only", () =>
    Effect.gen(function* () {
      recording.put("rates", [{ start: t0 }, { start: t0 + 1, sampleRate: 8_000, samples: 8_000 }])
      const wav = yield* get("/v1/conversations/rates/export")
      assert.strictEqual(wav.status, 409)
      assert.match(decode(wav.body).detail, /format=zip/)
      const zip = yield* get("/v1/conversations/rates/export?format=zip")
      assert.deepStrictEqual(
        unpack(zip.body)
          .slice(1)
          .map(({ content }) => content.readUInt32LE(24)),
        [rate, 8_000]
      )
      const part = yield* get(`/v1/conversations/rates/export?to=${t0 + 1}`)
      assert.strictEqual(part.status, 200)
    })
  )

  it.effect("of more audio files than it can have is refused with the limit", () =>
    Effect.gen(function* () {
      recording.put(
        "many",
        Array.from({ length: 1_001 }, (_, index) => ({ start: t0 + index * 100, samples: 10 }))
      )
      const wav = yield* get("/v1/conversations/many/export")
      assert.strictEqual(wav.status, 400)
      assert.match(decode(wav.body).detail, /at most 1000 .*`from` and `to`, or as `format=zip`/)
      const part = yield* get(`/v1/conversations/many/export?from=${t0 + 1}`)
      assert.strictEqual(part.body.length, 44 + 1_000 * 20)
      assert.strictEqual(unpack((yield* get("/v1/conversations/many/export?format=zip")).body).length, 1_002)
    })
  )

  it.effect("that can't be read is an error before its first byte, and cut behind it", () =>
    Effect.gen(function* () {
      const path = "/v1/conversations/broken/export"
      const seconds = Array.from({ length: 60 }, (_, index) => ({ start: t0 + index * 200 }))
      recording.put("broken", seconds)
      recording.unreadable.add("ada-broken-40")
      for (const format of ["wav", "zip"])
        assert.isTrue(Exit.isFailure(yield* Effect.exit(get(`${path}?format=${format}`))), format)
      assert.strictEqual((yield* get(`${path}?format=zip&to=${t0 + 8_000}`)).status, 200)
      for (const format of ["wav", "zip"])
        assert.strictEqual((yield* get(`${path}?format=${format}&from=${t0 + 8_000}`)).status, 500, format)
    })
  )
})

layer(servedPlayback(recording))("times", (it) => {
  it.effect("are RFC 3339 or Unix seconds, to the microsecond", () =>
    Effect.sync(() => {
      const cases: Readonly<Record<string, number | undefined>> = {
        "1700000000": 1_700_000_000,
        "1700000000.000031": 1_700_000_000.000_031,
        "2023-11-14T22:13:20Z": 1_700_000_000,
        "2023-11-14T22:13:20.000031Z": 1_700_000_000.000_031,
        "2023-11-14T23:13:20.9375+01:00": 1_700_000_000.9375,
        "2023-11-14T23:13:20 01:00": 1_700_000_000,
        "2023-11-14": 1_699_920_000,
        "1e9": undefined,
        "2023-11-14T22:13:20": undefined,
        "": undefined
      }
      for (const [text, seconds] of Object.entries(cases)) assert.strictEqual(secondsOf(text), seconds, text)
    })
  )
})
