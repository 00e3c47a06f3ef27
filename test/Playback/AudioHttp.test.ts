/** Audio over HTTP. */
import { assert, layer } from "@effect/vitest"
import { Effect, Exit, Schema, Scope, Stream } from "effect"
import { StorageUnavailable } from "../../src/Storage.ts"
import { MemoryRecording, rate, t0 } from "./support/MemoryRecording.ts"
import { idOf, pathOf, wavOf } from "./support/ServedAudio.ts"
import { get, request, servedPlayback } from "./support/ServedPlayback.ts"

/** Three seconds of audio, a second of silence in the middle, and a last chunk that half overlaps the one before. */
const recording = new MemoryRecording()
recording.put("standup", [{ start: t0 }, { start: t0 + 2 }, { start: t0 + 2.5, samples: rate }])
recording.put("recording-2026-11-21T12.21.03-a1b2", [{ start: t0 }])
const standupPcm = (() => {
  const whole = MemoryRecording.pcm({ start: t0, samples: 3.5 * rate })
  whole.fill(0, rate * 2, rate * 4)
  return whole
})()
const standup = wavOf(standupPcm)

const Part = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: standup.length + 50 }))

layer(servedPlayback(recording))("audio", (it) => {
  it.effect("answers with the whole WAV file and the headers of a download", () =>
    Effect.gen(function* () {
      const { body, headers, status } = yield* get(pathOf("standup"))
      assert.strictEqual(status, 200)
      assert.isTrue(body.equals(standup))
      assert.strictEqual(headers["content-type"], "audio/wav")
      assert.strictEqual(headers["content-length"], String(standup.length))
      assert.strictEqual(headers["accept-ranges"], "bytes")
      assert.strictEqual(headers["cache-control"], "private")
      assert.strictEqual(headers["content-disposition"], 'inline; filename="standup-20231114T221320Z.wav"')
      assert.match(headers["etag"] ?? "", /^"wav-[A-Za-z0-9_-]+"$/)
      assert.isUndefined(headers["spillway-lost-seconds"])
      assert.isUndefined(headers["transfer-encoding"])
      const dated = yield* get(pathOf("recording-2026-11-21T12.21.03-a1b2"))
      assert.strictEqual(
        dated.headers["content-disposition"],
        'inline; filename="recording-2026-11-21T12.21.03-a1b2-221320Z.wav"'
      )
    })
  )

  it.effect("answers with the same samples and no header as pcm", () =>
    Effect.gen(function* () {
      const { body, headers } = yield* get(pathOf("standup", "?format=pcm"))
      assert.isTrue(body.equals(standupPcm))
      assert.strictEqual(headers["content-type"], "application/octet-stream")
      assert.match(headers["content-disposition"] ?? "", /\.pcm"$/)
    })
  )

  it.effect.prop(
    "answers any range with exactly those bytes of the whole, and with the same head by every way to answer it",
    { a: Part, b: Part },
    Effect.fnUntraced(function* ({ a, b }) {
      const [first, last] = [Math.min(a, b), Math.max(a, b)]
      const range = `bytes=${first}-${last}`
      const { body, headers, status } = yield* get(pathOf("standup"), { range })
      // A condition that always holds is left to the route.
      const routed = yield* get(pathOf("standup"), { range, "if-match": "*" })
      const { date: _, ...head } = headers
      const { date: __, ...routedHead } = routed.headers
      assert.deepStrictEqual([head, body.equals(routed.body)], [routedHead, true])
      if (first >= standup.length) {
        assert.deepStrictEqual([status, headers["content-range"]], [416, `bytes */${standup.length}`])
        return
      }
      const end = Math.min(last + 1, standup.length)
      assert.strictEqual(status, 206)
      assert.isTrue(body.equals(standup.subarray(first, end)))
      assert.strictEqual(headers["content-range"], `bytes ${first}-${end - 1}/${standup.length}`)
      assert.strictEqual(headers["content-length"], String(end - first))
    }),
    { arbitrary: { runs: 60 } }
  )

  it.effect("answers a range of a chunk with its reason if the chunk can't be read", () =>
    Effect.gen(function* () {
      const range = "bytes=100-199"
      const whole = (yield* get(pathOf("standup"), { range })).body
      recording.unreadable.add("ada-standup-0")
      const failed = yield* Effect.ensuring(
        get(pathOf("standup"), { range }),
        Effect.sync(() => recording.unreadable.clear())
      )
      assert.strictEqual(failed.status, 500)
      assert.strictEqual(JSON.parse(failed.body.toString()).type, "urn:spillway:problem:audio-unreadable")
      assert.strictEqual((yield* get(pathOf("standup"))).status, 200)
      assert.isTrue((yield* get(pathOf("standup"), { range })).body.equals(whole))
    })
  )

  it.effect("answers an open-ended range and a suffix range", () =>
    Effect.gen(function* () {
      const tail = yield* get(pathOf("standup"), { range: "bytes=-100" })
      const rest = yield* get(pathOf("standup"), { range: `bytes=${standup.length - 100}-` })
      assert.deepStrictEqual([tail.status, rest.status], [206, 206])
      assert.isTrue(tail.body.equals(standup.subarray(-100)))
      assert.isTrue(rest.body.equals(tail.body))
    })
  )

  it.effect("answers several ranges and a malformed range with the whole", () =>
    Effect.gen(function* () {
      for (const range of ["bytes=0-1,4-5", "bytes=5-4", "bytes=x", "lines=0-1"]) {
        const { body, headers, status } = yield* get(pathOf("standup"), { range })
        assert.deepStrictEqual([status, body.length, headers["content-range"]], [200, standup.length, undefined])
      }
    })
  )

  it.effect("answers HEAD with the headers of the whole, and reads no audio for it", () =>
    Effect.gen(function* () {
      const whole = yield* get(pathOf("standup"))
      const before = recording.bytesRead
      const head = yield* get(pathOf("standup"), { range: "bytes=0-9" }, "HEAD")
      assert.strictEqual(head.status, 200)
      assert.strictEqual(head.body.length, 0)
      for (const name of ["content-length", "content-type", "etag", "accept-ranges", "content-disposition"]) {
        assert.strictEqual(head.headers[name], whole.headers[name], name)
      }
      assert.strictEqual(recording.bytesRead, before)
    })
  )

  it.effect("answers 304 to a matching If-None-Match, and 412 to a failed If-Match", () =>
    Effect.gen(function* () {
      const { etag = "" } = (yield* get(pathOf("standup"))).headers
      for (const known of [etag, `"x", W/${etag}`, "*"]) {
        const { body, headers, status } = yield* get(pathOf("standup"), { "if-none-match": known })
        assert.deepStrictEqual([status, body.length, headers["etag"]], [304, 0, etag])
      }
      assert.strictEqual((yield* get(pathOf("standup"), { "if-none-match": '"x"' })).status, 200)
      assert.strictEqual((yield* get(pathOf("standup"), { "if-match": `"x", ${etag}` })).status, 200)
      const changed = yield* get(pathOf("standup"), { "if-match": '"x"' })
      assert.deepStrictEqual([changed.status, changed.headers["content-type"]], [412, "application/problem+json"])
    })
  )

  it.effect("answers a range only of the version that If-Range names", () =>
    Effect.gen(function* () {
      const { etag = "" } = (yield* get(pathOf("standup"))).headers
      const range = "bytes=0-9"
      assert.strictEqual((yield* get(pathOf("standup"), { range, "if-range": etag })).status, 206)
      for (const other of ['"x"', `W/${etag}`, "Tue, 14 Nov 2023 22:13:20 GMT"]) {
        const { body, status } = yield* get(pathOf("standup"), { range, "if-range": other })
        assert.deepStrictEqual([status, body.length], [200, standup.length])
      }
    })
  )

  it.effect("changes the ETag with the format and with growth, and keeps it when the audio moves to the store", () =>
    Effect.gen(function* () {
      const etag = Effect.map(get(pathOf("growing")), ({ headers }) => headers["etag"])
      recording.put("growing", [{}, { state: "open", samples: 100 }], { live: true })
      const short = yield* etag
      recording.put("growing", [{}, { state: "open", samples: 200 }], { live: true })
      const long = yield* etag
      recording.put("growing", [{}, { state: "stored", samples: 200, key: "elsewhere" }])
      const pcm = (yield* get(pathOf("growing", "?format=pcm"))).headers["etag"]
      assert.strictEqual(yield* etag, long)
      assert.strictEqual(new Set([short, long, pcm]).size, 3)
    })
  )

  it.effect("plays lost audio as silence, and says how many seconds are lost", () =>
    Effect.gen(function* () {
      recording.put("lossy", [{}, { start: t0 + 1, state: "lost", samples: rate / 4 }, { start: t0 + 1.25 }])
      const { body, headers, status } = yield* get(pathOf("lossy"))
      const pcm = MemoryRecording.pcm({ start: t0, samples: 2.25 * rate })
      pcm.fill(0, rate * 2, rate * 2.5)
      assert.deepStrictEqual([status, headers["spillway-lost-seconds"]], [200, "0.25"])
      assert.isTrue(body.equals(wavOf(pcm)))
      const part = yield* get(pathOf("lossy"), { range: "bytes=0-9" })
      assert.strictEqual(part.headers["spillway-lost-seconds"], "0.25")
    })
  )

  it.effect("answers 404 for another user's audio", () =>
    Effect.gen(function* () {
      const as = (authorization: string, query = "") => get(pathOf("standup", query), { authorization })
      assert.strictEqual((yield* as("Bearer spw_grace")).status, 404)
      assert.strictEqual((yield* as("Bearer spw_backend")).status, 404)
      assert.strictEqual((yield* as("Bearer nobody")).status, 401)
      assert.strictEqual((yield* as("")).headers["www-authenticate"], "Bearer")
      assert.strictEqual((yield* as("Bearer spw_grace", "?uid=ada")).status, 403)
      assert.isTrue((yield* as("Bearer spw_backend", "?uid=ada")).body.equals(standup))
      assert.isTrue((yield* as("", "?access_token=spw_ada")).body.equals(standup))
    })
  )

  it.effect("answers missing, invalid and unavailable audio with a problem", () =>
    Effect.gen(function* () {
      for (const [path, status] of [
        ["/v1/sync/audio/standup/nothing", 404],
        [`/v1/sync/audio/other/${idOf("standup")}`, 404],
        [pathOf("standup", "?format=mp3"), 400],
        [pathOf("standup", "?format="), 400],
        [`/v1/sync/audio/a%2Fb/${idOf("standup")}`, 400],
        [`/v1/sync/audio/${"a".repeat(129)}/x`, 400]
      ] as const) {
        const answer = yield* get(path)
        assert.deepStrictEqual(
          [answer.status, answer.headers["content-type"]],
          [status, "application/problem+json"],
          path
        )
      }
    })
  )

  it.effect("answers 503 when the database is down", () =>
    Effect.gen(function* () {
      recording.databaseDown = true
      const { headers, status } = yield* Effect.ensuring(
        get(pathOf("standup")),
        Effect.sync(() => (recording.databaseDown = false))
      )
      assert.deepStrictEqual([status, headers["retry-after"]], [503, "1"])
    })
  )
})

const talk = new MemoryRecording()
talk.put("talk", [{ start: t0, samples: rate * 600 }])
const talkPath = pathOf("talk")
/** Of the header, and of a chunk alone. */
const head = { range: "bytes=0-99" }
const inChunk = { range: "bytes=100-199" }

/** A response that is read no further than its first piece; returns what closes it. */
const stalled = Effect.gen(function* () {
  const scope = yield* Scope.make()
  const response = yield* Scope.provide(request(talkPath), scope)
  assert.strictEqual(response.status, 200)
  yield* Scope.provide(Stream.toPull(response.stream), scope).pipe(Effect.flatMap((pull) => pull))
  return { end: Scope.close(scope, Exit.void) }
})

layer(servedPlayback(talk, { SPILLWAY_AUDIO_RESPONSES_PER_USER: "2", SPILLWAY_AUDIO_RESPONSES: "3" }), {
  excludeTestServices: true
})("audio responses", (it) => {
  it.effect("are bounded per user: one more is answered with 429 until one ends", () =>
    Effect.gen(function* () {
      for (let i = 0; i < 5; i++) assert.strictEqual((yield* get(talkPath, head)).status, 206)
      for (let i = 0; i < 5; i++) assert.strictEqual((yield* get(talkPath, inChunk)).status, 206)
      const away = new StorageUnavailable({ operation: "get", bucket: "b", key: "k", cause: "down" })
      talk.instead.set("ada-talk-0", Effect.fail(away))
      for (let i = 0; i < 5; i++) assert.strictEqual((yield* get(talkPath, inChunk)).status, 503)
      talk.instead.clear()
      const { end } = yield* stalled
      yield* stalled
      assert.strictEqual((yield* get(talkPath, inChunk)).status, 429)
      const refused = yield* get(talkPath, head)
      assert.strictEqual(refused.status, 429)
      assert.strictEqual(refused.headers["retry-after"], "5")
      assert.match(refused.body.toString(), /A user may have 2 at once \(SPILLWAY_AUDIO_RESPONSES_PER_USER\)/)
      const other = yield* get("/v1/sync/audio/talk/none", { authorization: "Bearer spw_grace" })
      assert.strictEqual(other.status, 404)
      yield* end
      const again = yield* Effect.repeat(get(talkPath, head), { until: ({ status }) => status !== 429, times: 1_000 })
      assert.strictEqual(again.status, 206)
    })
  )
})
