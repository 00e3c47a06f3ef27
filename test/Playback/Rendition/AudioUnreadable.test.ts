/** Chunks that can't be read: when the response fails, when it is cut, and what it says. */
import { assert, layer } from "@effect/vitest"
import { Duration, Effect, Layer, Logger, References, Stream } from "effect"
import { Saturated } from "../../../src/Bulkhead.ts"
import { DbUnavailable } from "../../../src/Db.ts"
import { ObjectNotFound, StorageRefused, StorageUnavailable } from "../../../src/Storage.ts"
import { MemoryRecording, rate, t0 } from "../support/MemoryRecording.ts"
import { pathOf, wavOf } from "../support/ServedAudio.ts"
import { get, request, servedPlayback } from "../support/ServedPlayback.ts"

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

const env = { FIRST_AUDIO_TIMEOUT: "500 millis" }
layer(servedPlayback(broken, env).pipe(Layer.provide(Logger.layer([logger]))), { excludeTestServices: true })(
  "an unreadable chunk",
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
          const short = { range: "bytes=100-199" }
          const answers = yield* Effect.ensuring(
            Effect.all([get(pathOf("broken")), get(pathOf("broken"), short)]),
            Effect.sync(() => broken.instead.clear())
          )
          for (const answer of answers) {
            assert.deepStrictEqual([answer.status, answer.headers["retry-after"]], [status, retryAfter])
            assert.strictEqual(JSON.parse(answer.body.toString()).type, `urn:spillway:problem:${type}`)
          }
          assert.isTrue((yield* get(pathOf("broken"), short)).body.equals(whole.subarray(100, 200)))
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
