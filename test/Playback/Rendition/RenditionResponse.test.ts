/** Requests for ranges (RFC 9110, section 14), with a key and by signed URLs. */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { MemoryRecording, rate, t0 } from "../support/MemoryRecording.ts"
import { pathOf, wavOf } from "../support/ServedAudio.ts"
import { get, servedPlayback, signedPath, urlsOf } from "../support/ServedPlayback.ts"

const recording = new MemoryRecording()
recording.put("talk", [{ start: t0 }, { start: t0 + 300 }])
recording.put("blip", [{ start: t0, samples: 1 }])

const first = MemoryRecording.pcm({ start: t0, samples: rate })
const both = Buffer.concat([first, MemoryRecording.pcm({ start: t0 + 300, samples: rate })])

type Expected = readonly [start: number, end: number] | "whole" | "unsatisfiable"

/** What each `Range` of a file of `size` bytes gets. */
const cases = (size: number): ReadonlyArray<readonly [range: string, expected: Expected]> => [
  ["bytes=0-0", [0, 1]],
  ["bytes=0-", [0, size]],
  ["bytes=1-", [1, size]],
  [`bytes=${size - 1}-`, [size - 1, size]],
  [`bytes=0-${size - 1}`, [0, size]],
  [`bytes=0-${"9".repeat(40)}`, [0, size]],
  ["Bytes = 3-9".replace(" = ", "="), [3, 10]],
  ["bytes= 3-9 ,", [3, 10]],
  ["bytes=-1", [size - 1, size]],
  [`bytes=-${size}`, [0, size]],
  [`bytes=-${size * 2}`, [0, size]],
  [`bytes=${size}-`, "unsatisfiable"],
  [`bytes=${size}-${size + 9}`, "unsatisfiable"],
  [`bytes=${"9".repeat(40)}-`, "unsatisfiable"],
  ["bytes=-0", "unsatisfiable"],
  ["bytes=5-4", "whole"],
  ["bytes=0-1,4-5", "whole"],
  [`bytes=${Array.from({ length: 100 }, (_, at) => `${at}-${at + 50}`).join(",")}`, "whole"],
  [`bytes=${Array.from({ length: 100 }, () => "0-").join(",")}`, "whole"],
  ...["bytes=", "bytes=-", "bytes", "bytes=x", "bytes=0x1-2", "bytes=--1", "items=0-1", "=0-1", "bytes=1 - 2"].map(
    (range) => [range, "whole"] as const
  )
]

layer(servedPlayback(recording))("a range", (it) => {
  const routes = Effect.gen(function* () {
    const { audio_files: files, conversation_audio: whole } = (yield* urlsOf("talk")).urls
    const blip = (yield* urlsOf("blip", "?format=pcm")).urls
    return [
      ["with a key", pathOf("talk"), wavOf(first)],
      ["by a signed URL", signedPath(files[0]?.signed_url), wavOf(first)],
      ["of a conversation as one file", signedPath(whole?.signed_url), wavOf(both)],
      [
        "of a file of one sample",
        signedPath(blip.audio_files[0]?.signed_url),
        MemoryRecording.pcm({ start: t0, samples: 1 })
      ]
    ] as const
  })

  it.effect("gets exactly its bytes, the whole if it is several or not valid, and 416 behind the end", () =>
    Effect.gen(function* () {
      for (const [how, path, bytes] of yield* routes) {
        for (const [range, expected] of cases(bytes.length)) {
          const { body, headers, status } = yield* get(path, { range })
          const message = `${range.slice(0, 60)} ${how}`
          if (expected === "unsatisfiable") {
            assert.deepStrictEqual([status, headers["content-range"]], [416, `bytes */${bytes.length}`], message)
            continue
          }
          const [start, end] = expected === "whole" ? [0, bytes.length] : expected
          const last = Math.min(end, bytes.length)
          const isPart = expected !== "whole"
          if (start >= bytes.length) {
            assert.strictEqual(status, 416, message)
            continue
          }
          assert.deepStrictEqual(
            [status, headers["content-range"], headers["content-length"]],
            [
              isPart ? 206 : 200,
              isPart ? `bytes ${start}-${last - 1}/${bytes.length}` : undefined,
              String(last - start)
            ],
            message
          )
          assert.isTrue(body.equals(bytes.subarray(start, last)), message)
        }
      }
    })
  )

  it.effect("is of the version that If-Range names, and of no other", () =>
    Effect.gen(function* () {
      for (const [how, path, bytes] of yield* routes) {
        const { etag = "" } = (yield* get(path)).headers
        for (const [tag, isSame] of [
          [etag, true],
          [`W/${etag}`, false],
          ['"x"', false],
          ["Tue, 14 Nov 2023 22:13:20 GMT", false]
        ] as const) {
          for (const range of ["bytes=0-0", `bytes=${bytes.length}-`]) {
            const { body, status } = yield* get(path, { range, "if-range": tag })
            const asked = range === "bytes=0-0" ? 206 : 416
            assert.strictEqual(status, isSame ? asked : 200, `${tag} ${how}`)
            if (!isSame) assert.isTrue(body.equals(bytes))
          }
        }
      }
    })
  )

  it.effect("is ignored by HEAD, which reads no audio", () =>
    Effect.gen(function* () {
      for (const [how, path, bytes] of yield* routes) {
        const before = recording.bytesRead
        for (const [range] of cases(bytes.length)) {
          const { body, headers, status } = yield* get(path, { range }, "HEAD")
          assert.deepStrictEqual(
            [status, headers["content-length"], headers["content-range"], body.length],
            [200, String(bytes.length), undefined, 0],
            how
          )
        }
        assert.strictEqual(recording.bytesRead, before)
      }
    })
  )
})
