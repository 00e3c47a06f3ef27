/** Audio over HTTP. */
import { assert, describe, layer } from "@effect/vitest"
import { Deferred, Duration, Effect, Layer, Logger, Option, References, Schema, Stream } from "effect"
import { Timeline } from "../../src/Audio.ts"
import { Saturated } from "../../src/Bulkhead.ts"
import { DbUnavailable } from "../../src/Db.ts"
import { ObjectNotFound, StorageRefused, StorageUnavailable } from "../../src/Storage.ts"
import { MemoryRecording, rate, t0 } from "./support/MemoryRecording.ts"
import { get, request, servedPlayback } from "./support/ServedPlayback.ts"

const idOf = (conversation: string, start = t0, uid = "ada") =>
  Timeline.fileId(uid, conversation, { start, sampleRate: rate, codec: "pcm16" })

const pathOf = (conversation: string, query = "") => `/v1/sync/audio/${conversation}/${idOf(conversation)}${query}`

const wavOf = (pcm: Uint8Array) => {
  const head = Buffer.from(
    "524946460000000057415645666d742010000000010001000000000000000000020010006461746100000000",
    "hex"
  )
  head.writeUInt32LE(36 + pcm.length, 4)
  head.writeUInt32LE(rate, 24)
  head.writeUInt32LE(rate * 2, 28)
  head.writeUInt32LE(pcm.length, 40)
  return Buffer.concat([head, pcm])
}

/** Three seconds of audio, a second of silence in the middle, and a last chunk that lies half on the one before. */
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
      assert.match(headers["etag"] ?? "", /^"[A-Za-z0-9_-]{43}"$/)
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
    "answers any range with exactly those bytes of the whole",
    { a: Part, b: Part },
    Effect.fnUntraced(function* ({ a, b }) {
      const [first, last] = [Math.min(a, b), Math.max(a, b)]
      const { body, headers, status } = yield* get(pathOf("standup"), { range: `bytes=${first}-${last}` })
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
      recording.put("spoken", [{ codec: "opus", samples: 960 }])
      const opus = Timeline.fileId("ada", "spoken", { start: t0, sampleRate: rate, codec: "opus" })
      for (const [path, status] of [
        ["/v1/sync/audio/standup/nothing", 404],
        [`/v1/sync/audio/other/${idOf("standup")}`, 404],
        [pathOf("standup", "?format=mp3"), 400],
        [pathOf("standup", "?format="), 400],
        [`/v1/sync/audio/a%2Fb/${idOf("standup")}`, 400],
        [`/v1/sync/audio/${"a".repeat(129)}/x`, 400],
        [`/v1/sync/audio/spoken/${opus}`, 406]
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

describe("an unreadable chunk", () => {
  const broken = new MemoryRecording()
  broken.put("broken", [{ samples: rate }, { samples: rate }, { start: t0 + 2 }])
  const logged: Array<string> = []
  const logger = Logger.make(({ fiber, message }) => {
    logged.push(JSON.stringify([message, fiber.getRef(References.CurrentLogAnnotations)]))
  })

  const listen = Effect.gen(function* () {
    const response = yield* request(pathOf("broken"))
    assert.strictEqual(response.status, 200)
    const received: Array<Uint8Array> = []
    const end = yield* Effect.result(
      Stream.runForEach(response.stream, (bytes) => Effect.sync(() => received.push(bytes)))
    )
    return { end: end._tag, body: Buffer.concat(received) }
  })

  const env = { SPILLWAY_FIRST_AUDIO_TIMEOUT: "500 millis" }
  layer(servedPlayback(broken, env).pipe(Layer.provide(Logger.layer([logger]))), { excludeTestServices: true })(
    (it) => {
      const whole = wavOf(MemoryRecording.pcm({ start: t0, samples: 3 * rate }))
      const untilSecond = 44 + rate * 2

      for (const how of ["unreadable", "short"] as const) {
        it.effect(`cuts the response: ${how}`, () =>
          Effect.gen(function* () {
            broken[how].add("ada-broken-1")
            const { body, end } = yield* Effect.ensuring(
              listen,
              Effect.sync(() => broken[how].clear())
            )
            assert.strictEqual(end, "Failure")
            assert.isAtLeast(body.length, untilSecond)
            assert.isAtMost(body.length, untilSecond + (how === "short" ? rate * 2 - 2 : 0))
            assert.isTrue(body.equals(whole.subarray(0, body.length)))
            const key = `"key":"chunks/ada/broken/${t0 + 1}.000.batch.bin"`
            assert.lengthOf(
              logged.splice(0).filter((line) => line.includes(key)),
              1
            )
            assert.isTrue((yield* get(pathOf("broken"))).body.equals(whole))
          })
        )
      }

      it.effect(
        "is answered with 500 and its time, but not its key, when it is the first of the range; HEAD reads no audio",
        () =>
          Effect.gen(function* () {
            broken.unreadable.add("ada-broken-1")
            yield* Effect.ensuring(
              Effect.gen(function* () {
                for (const first of [untilSecond, untilSecond + 100]) {
                  const { body, headers, status } = yield* get(pathOf("broken"), { range: `bytes=${first}-` })
                  assert.deepStrictEqual([status, headers["content-type"]], [500, "application/problem+json"])
                  assert.isUndefined(headers["etag"])
                  const problem = JSON.parse(body.toString())
                  assert.strictEqual(problem.type, "urn:spillway:problem:audio-unreadable")
                  const span = "broken from 2023-11-14T22:13:21.000Z to 2023-11-14T22:13:22.000Z"
                  assert.include(problem.detail, `${span} can't be read.`)
                  assert.notMatch(body.toString(), /chunks\/|gone/)
                  assert.isNotEmpty(logged.splice(0).filter((line) => line.includes('"key":"chunks/ada/broken/')))
                }
                assert.strictEqual((yield* get(pathOf("broken"), {}, "HEAD")).status, 200)
              }),
              Effect.sync(() => broken.unreadable.clear())
            )
            broken.unreadable.add("ada-broken-0")
            const whole = yield* Effect.ensuring(
              get(pathOf("broken")),
              Effect.sync(() => broken.unreadable.clear())
            )
            assert.strictEqual(whole.status, 500)
          })
      )

      it.effect("is not played from its middle after it failed, until a complete read succeeds", () =>
        Effect.gen(function* () {
          const middle = { range: `bytes=${untilSecond + 100}-` }
          assert.strictEqual((yield* get(pathOf("broken"))).status, 200)
          assert.strictEqual((yield* get(pathOf("broken"), middle)).status, 206)
          broken.unreadable.add("ada-broken-1")
          yield* Effect.ensuring(
            listen,
            Effect.sync(() => broken.unreadable.clear())
          )
          assert.strictEqual((yield* get(pathOf("broken"), middle)).status, 500)
          assert.isTrue((yield* get(pathOf("broken"))).body.equals(whole))
          const again = yield* get(pathOf("broken"), middle)
          assert.deepStrictEqual([again.status, again.body.equals(whole.subarray(untilSecond + 100))], [206, true])
          logged.length = 0
        })
      )

      const away = new StorageUnavailable({ operation: "get", bucket: "b", key: "k", cause: "down" })
      const forbidden = new StorageRefused({ operation: "get", bucket: "b", key: "k", reason: "refused: no (403)" })
      const busy = new Saturated({
        bulkhead: "storage.read",
        key: "ada",
        limit: "waiting",
        retryAfter: Duration.seconds(2)
      })
      const noDb = new DbUnavailable({ operation: "test", attempts: 1, cause: "down" })
      const missing = new ObjectNotFound({ operation: "get", bucket: "b", key: "k" })
      for (const [what, instead, status, type, retryAfter] of [
        ["the store does not answer", Effect.fail(away), 503, "storage-unavailable", "1"],
        ["the store refuses", Effect.fail(forbidden), 503, "storage-refused", "60"],
        ["the store does not have it", Effect.fail(missing), 404, "audio-missing", undefined],
        ["the node is busy", Effect.fail(busy), 503, "saturated", "2"],
        ["the database does not answer", Effect.fail(noDb), 503, "database-unavailable", "1"],
        ["nothing comes for as long as a listener waits", Effect.never, 503, "audio-late", "5"]
      ] as const) {
        it.effect(`is answered as ${type} while ${what}, and plays afterwards`, () =>
          Effect.gen(function* () {
            broken.instead.set("ada-broken-0", instead)
            const answer = yield* Effect.ensuring(
              get(pathOf("broken")),
              Effect.sync(() => broken.instead.clear())
            )
            assert.deepStrictEqual([answer.status, answer.headers["retry-after"]], [status, retryAfter])
            assert.strictEqual(JSON.parse(answer.body.toString()).type, `urn:spillway:problem:${type}`)
            const middle = { range: "bytes=100-" }
            assert.isTrue((yield* get(pathOf("broken"), middle)).body.equals(whole.subarray(100)))
            logged.length = 0
          })
        )
      }

      it.effect("leaves ranges that do not touch it playable", () =>
        Effect.gen(function* () {
          broken.unreadable.add("ada-broken-1")
          const { body } = yield* Effect.ensuring(
            get(pathOf("broken"), { range: `bytes=0-${untilSecond - 1}` }),
            Effect.sync(() => broken.unreadable.clear())
          )
          assert.isTrue(body.equals(whole.subarray(0, untilSecond)))
        })
      )
    }
  )
})

describe("a listener", () => {
  const long = new MemoryRecording()
  const minutes = 60
  long.put(
    "long",
    Array.from({ length: minutes }, (_, i) => ({ start: t0 + i * 60, samples: 60 * rate }))
  )
  const minute = MemoryRecording.pcm({ start: t0, samples: 60 * rate })
  long.sound = () => minute
  const size = 44 + minutes * 60 * rate * 2

  layer(servedPlayback(long))((it) => {
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
})
