/** Audio by signed URLs. */
import { assert, layer } from "@effect/vitest"
import { DateTime, Effect, Layer, Logger, References, Stream, Tracer } from "effect"
import { TestClock } from "effect/testing"
import { MemoryRecording, rate, t0 } from "../support/MemoryRecording.ts"
import { wavOf } from "../support/ServedAudio.ts"
import { getSigned, request, servedPlayback, signedPath, urlsOf } from "../support/ServedPlayback.ts"

const recording = new MemoryRecording()
recording.put("standup", [{ start: t0 }, { start: t0 + 300 }])
const pcm = Buffer.concat([
  MemoryRecording.pcm({ start: t0, samples: rate }),
  MemoryRecording.pcm({ start: t0 + 300, samples: rate })
])

const pathsOf = (conversation: string) =>
  Effect.map(urlsOf(conversation), ({ urls: { audio_files: files, conversation_audio: whole } }) => ({
    file: signedPath(files[0]?.signed_url),
    whole: signedPath(whole?.signed_url)
  }))

const replacer = (_: string, value: unknown) => (typeof value === "bigint" ? String(value) : value)

const logged: Array<string> = []
const logger = Logger.make(({ cause, fiber, message }) => {
  logged.push(JSON.stringify([message, String(cause), fiber.getRef(References.CurrentLogAnnotations)]))
})

const spans: Array<Tracer.NativeSpan> = []
const tracer = Tracer.make({
  span: (options) => {
    const span = new Tracer.NativeSpan(options)
    spans.push(span)
    return span
  }
})

layer(
  servedPlayback(recording, { SPILLWAY_AUDIO_RESPONSES_PER_USER: "2" }).pipe(
    Layer.provide(Layer.succeed(Tracer.Tracer, tracer)),
    Layer.provide(Logger.layer([logger]))
  )
)("a signed URL", (it) => {
  it.effect("plays with the headers of the file route", () =>
    Effect.gen(function* () {
      const { file, whole } = yield* pathsOf("standup")
      for (const [path, audio, name] of [
        [file, pcm.subarray(0, rate * 2), "standup-20231114T221320Z.wav"],
        [whole, pcm, "standup.wav"]
      ] as const) {
        const { body, headers, status } = yield* getSigned(path)
        assert.strictEqual(status, 200)
        assert.isTrue(body.equals(wavOf(audio)))
        assert.strictEqual(headers["content-type"], "audio/wav")
        assert.strictEqual(headers["accept-ranges"], "bytes")
        assert.strictEqual(headers["cache-control"], "private")
        assert.strictEqual(headers["referrer-policy"], "no-referrer")
        assert.strictEqual(headers["content-disposition"], `inline; filename="${name}"`)
        assert.match(headers["etag"] ?? "", /^"wav-[A-Za-z0-9_-]+"$/)
      }
    })
  )

  it.effect("is 403 after an hour, changed, or of audio that was deleted, all alike", () =>
    Effect.gen(function* () {
      recording.put("gone", [{ start: t0 }])
      const { file, whole } = yield* pathsOf("gone")
      for (const path of [file, whole]) assert.strictEqual((yield* getSigned(path)).status, 200)
      const now = recording.kept.findIndex(({ id }) => id === "gone")
      recording.kept.splice(now, 1)
      const refused = [
        yield* getSigned(file),
        yield* getSigned(whole),
        yield* getSigned(file, {}, "HEAD"),
        yield* getSigned(file, { range: "bytes=0-1" }),
        yield* getSigned(`${file}x`),
        yield* getSigned("/v1/audio/x"),
        yield* getSigned(`/v1/audio/${"x".repeat(500)}`)
      ]
      // Recorded anew under the same id: the file starts later, and the conversation is another one.
      recording.put("gone", [{ start: t0 + 7 }], { createdAt: DateTime.toDate(DateTime.makeUnsafe(7)) })
      refused.push(yield* getSigned(file), yield* getSigned(whole))
      const old = yield* pathsOf("standup")
      yield* TestClock.adjust("1 hour")
      refused.push(yield* getSigned(old.file), yield* getSigned(old.whole))
      const bodies = new Set<string>()
      for (const { body, headers, status } of refused) {
        assert.deepStrictEqual([status, headers["referrer-policy"]], [403, "no-referrer"])
        assert.deepStrictEqual(
          [headers["content-type"], headers["cache-control"]],
          ["application/problem+json", "no-store"]
        )
        if (body.length > 0) bodies.add(body.toString())
      }
      assert.lengthOf([...bodies], 1)
    })
  )

  it.effect("takes one of its user's seats", () =>
    Effect.gen(function* () {
      const long = Buffer.alloc(rate * 1200)
      recording.sound = (chunk) => (chunk.conversation === "talk" ? long : MemoryRecording.pcm(chunk))
      recording.put("talk", [{ start: t0, samples: rate * 600 }])
      const { file } = yield* pathsOf("talk")
      yield* Effect.scoped(
        Effect.gen(function* () {
          for (let seat = 0; seat < 2; seat++) {
            const response = yield* request(file, { authorization: "" })
            yield* Stream.toPull(response.stream).pipe(Effect.flatMap((pull) => pull))
          }
          const refused = yield* getSigned(file)
          assert.deepStrictEqual([refused.status, refused.headers["retry-after"]], [429, "5"])
        })
      )
    })
  )

  it.effect("appears in no log, span or response, whatever fails", () =>
    Effect.gen(function* () {
      recording.put("failing", [{ start: t0 }])
      const { file, whole } = yield* pathsOf("failing")
      const answers: Array<string> = []
      const attempt = (path: string, expected: number, headers: Record<string, string> = {}) =>
        Effect.map(getSigned(path, headers), ({ body, headers, status }) => {
          assert.strictEqual(status, expected)
          answers.push(body.toString("latin1"), JSON.stringify(headers))
        })
      for (const path of [file, whole]) {
        yield* attempt(path, 200)
        yield* attempt(path, 416, { range: "bytes=999999-" })
        yield* attempt(`${path}x`, 403)
        yield* attempt(`${path}/x`, 404)
        recording.unreadable.add("ada-failing-0")
        yield* attempt(path, 500)
        recording.unreadable.clear()
        recording.instead.set("ada-failing-0", Effect.die(new Error("a defect")))
        yield* attempt(path, 500)
        recording.instead.clear()
        recording.databaseDown = true
        yield* attempt(path, 503)
        recording.databaseDown = false
      }
      assert.isAbove(logged.length, 4)
      assert.isTrue(spans.some(({ name }) => name === "AudioUrls.list"))
      const traced = spans
        .filter(({ kind }) => kind !== "client")
        .map(({ attributes, events, name }) => JSON.stringify([name, [...attributes], events], replacer))
      for (const path of [file, whole]) {
        const [payload = "", signature = ""] = path.slice("/v1/audio/".length).split(".")
        for (const text of [...logged, ...answers, ...traced]) {
          assert.notInclude(text, payload)
          assert.notInclude(text, signature)
        }
      }
    })
  )
})
