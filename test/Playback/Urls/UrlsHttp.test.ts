/** URLs of the audio of a conversation. */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { ChunkUnreadable } from "../../../src/Recording.ts"
import { ObjectNotFound } from "../../../src/Storage.ts"
import * as OpusTone from "../../Recording/support/OpusTone.ts"
import { MemoryRecording, rate, t0 } from "../support/MemoryRecording.ts"
import { idOf, wavOf } from "../support/ServedAudio.ts"
import { get, getSigned, servedPlayback, signedPath, urlsOf } from "../support/ServedPlayback.ts"

/** Two audio files of two seconds and one, five minutes apart; the first with a gap of a second. */
const recording = new MemoryRecording()
recording.put("standup", [{ start: t0 }, { start: t0 + 2 }, { start: t0 + 300 }])
recording.put("mixed", [{ start: t0 }, { start: t0 + 300, sampleRate: 8000 }])
recording.put("lost", [{ start: t0, state: "lost" }, { start: t0 + 300 }])
recording.put("silent", [{ start: t0, state: "lost" }])
recording.put("empty", [], { live: true })
recording.put(
  "many",
  Array.from({ length: 1_001 }, (_, index) => ({ start: t0 + index * 100, samples: 10 }))
)

layer(servedPlayback(recording))("the URLs of a conversation", (it) => {
  it.effect("are absolute, and play each file and all of them as one, without a key", () =>
    Effect.gen(function* () {
      const { body, headers, urls } = yield* urlsOf("standup")
      assert.strictEqual(headers["cache-control"], "private, no-store")
      const { audio_files: files, conversation_audio: whole } = urls
      const json: unknown = JSON.parse(body.toString())
      assert.deepStrictEqual(json, {
        audio_files: [
          {
            id: idOf("standup"),
            status: "cached",
            signed_url: files[0]?.signed_url,
            content_type: "audio/wav",
            duration: 3,
            started_at: "2023-11-14T22:13:20.000Z"
          },
          {
            id: idOf("standup", t0 + 300),
            status: "cached",
            signed_url: files[1]?.signed_url,
            content_type: "audio/wav",
            duration: 1,
            started_at: "2023-11-14T22:18:20.000Z"
          }
        ],
        conversation_audio: {
          status: "cached",
          signed_url: whole?.signed_url,
          content_type: "audio/wav",
          duration: 4,
          captured_duration: 3,
          spans: [
            { file_id: idOf("standup"), wall_offset: 0, artifact_offset: 0, len: 3 },
            { file_id: idOf("standup", t0 + 300), wall_offset: 300, artifact_offset: 3, len: 1 }
          ]
        }
      })
      const first = Buffer.concat([
        MemoryRecording.pcm({ start: t0, samples: rate }),
        Buffer.alloc(rate * 2),
        MemoryRecording.pcm({ start: t0 + 2, samples: rate })
      ])
      const second = MemoryRecording.pcm({ start: t0 + 300, samples: rate })
      for (const [url, pcm] of [
        [files[0]?.signed_url, first],
        [files[1]?.signed_url, second],
        [whole?.signed_url, Buffer.concat([first, second])]
      ] as const) {
        const heard = yield* getSigned(signedPath(url))
        assert.strictEqual(heard.status, 200)
        assert.isTrue(heard.body.equals(wavOf(pcm)))
      }
    })
  )

  it.effect("are of the requested format", () =>
    Effect.gen(function* () {
      const { urls } = yield* urlsOf("standup", "?format=pcm")
      const [file] = urls.audio_files
      assert.strictEqual(file?.content_type, "application/octet-stream")
      const { body, headers } = yield* getSigned(signedPath(file?.signed_url))
      assert.deepStrictEqual([body.length, headers["content-type"]], [3 * rate * 2, "application/octet-stream"])
      assert.strictEqual((yield* get("/v1/sync/audio/standup/urls?format=mp3")).status, 400)
    })
  )

  it.effect("leave out what does not exist, and are never null", () =>
    Effect.gen(function* () {
      for (const conversation of ["standup", "mixed", "lost", "silent", "empty", "many"]) {
        assert.notInclude((yield* urlsOf(conversation)).body.toString(), "null")
      }
      const mixed = (yield* urlsOf("mixed")).urls
      assert.isUndefined(mixed.conversation_audio)
      assert.deepStrictEqual(
        mixed.audio_files.map(({ status }) => status),
        ["cached", "cached"]
      )
      assert.deepStrictEqual((yield* urlsOf("empty")).urls, { audio_files: [] })
    })
  )

  it.effect("say that all audio of a file was lost", () =>
    Effect.gen(function* () {
      const { audio_files: files, conversation_audio: whole } = (yield* urlsOf("lost")).urls
      assert.deepStrictEqual(
        files.map(({ reason, signed_url, status }) => [status, reason, typeof signed_url]),
        [
          ["unavailable", "empty_audio", "undefined"],
          ["cached", undefined, "string"]
        ]
      )
      const heard = yield* getSigned(signedPath(whole?.signed_url))
      assert.deepStrictEqual([heard.status, heard.headers["spillway-lost-seconds"]], [200, "1"])
      const silent = (yield* urlsOf("silent")).urls.conversation_audio
      assert.deepStrictEqual([silent?.status, silent?.reason], ["unavailable", "empty_audio"])
    })
  )

  it.effect("are of up to 1,000 files, newest page first", () =>
    Effect.gen(function* () {
      const newest = (yield* urlsOf("many")).urls
      assert.lengthOf(newest.audio_files, 1_000)
      assert.isUndefined(newest.conversation_audio)
      const { urls } = yield* urlsOf("many", `?files_before=${newest.files_next}`)
      assert.deepStrictEqual(
        urls.audio_files.map(({ id }) => id),
        [idOf("many")]
      )
      assert.deepStrictEqual([urls.conversation_audio, urls.files_next], [undefined, undefined])
    })
  )

  it.effect("say that a listener found a chunk missing, damaged or short, until it is read again", () =>
    Effect.gen(function* () {
      recording.put("broken", [{ start: t0 }, { start: t0 + 300 }])
      const reasons = Effect.map(urlsOf("broken"), ({ urls: { audio_files: files, conversation_audio: whole } }) =>
        [...files, whole].map((each) => each?.reason)
      )
      const { urls } = yield* urlsOf("broken")
      const path = signedPath(urls.audio_files[1]?.signed_url)
      const missing = new ObjectNotFound({ operation: "get", bucket: "b", key: "k" })
      for (const [begin, status] of [
        [() => recording.instead.set("ada-broken-1", Effect.fail(missing)), 404],
        [() => recording.unreadable.add("ada-broken-1"), 500],
        [() => recording.short.add("ada-broken-1"), 500]
      ] as const) {
        assert.deepStrictEqual(yield* reasons, [undefined, undefined, undefined])
        begin()
        assert.strictEqual((yield* getSigned(path)).status, status)
        assert.deepStrictEqual(yield* reasons, [undefined, "chunks_missing", "chunks_missing"])
        assert.deepStrictEqual((yield* urlsOf("standup")).urls.audio_files[1]?.status, "cached")
        recording.instead.clear()
        recording.unreadable.clear()
        recording.short.clear()
        assert.strictEqual((yield* getSigned(path)).status, 200)
      }
    })
  )

  it.effect("say that the packets of a chunk could not be sent, until they are read again", () =>
    Effect.gen(function* () {
      recording.put("packets", [{ start: t0, samples: OpusTone.samples, codec: "opus" }])
      recording.packets.set("ada-packets-0", OpusTone.packets)
      const listed = Effect.map(urlsOf("packets", "?format=ogg"), ({ urls }) => urls.audio_files[0])
      const path = signedPath((yield* listed)?.signed_url)
      const place = { uid: "ada", conversation: "packets", key: "k" }
      recording.instead.set(
        "ada-packets-0",
        Effect.fail(new ChunkUnreadable({ ...place, cause: new Error("damaged") }))
      )
      assert.strictEqual((yield* getSigned(path)).status, 500)
      assert.strictEqual((yield* listed)?.reason, "chunks_missing")
      recording.instead.clear()
      assert.strictEqual((yield* getSigned(path)).status, 200)
      assert.strictEqual((yield* listed)?.status, "cached")
    })
  )

  it.effect("say of a short chunk that it is short while only its beginning is read", () =>
    Effect.gen(function* () {
      recording.put("cut", [{ start: t0 }])
      const reason = Effect.map(urlsOf("cut"), ({ urls }) => urls.audio_files[0]?.reason)
      const path = signedPath((yield* urlsOf("cut")).urls.audio_files[0]?.signed_url)
      recording.short.add("ada-cut-0")
      assert.strictEqual((yield* getSigned(path)).status, 500)
      const beginning = yield* getSigned(path, { range: "bytes=0-999" })
      recording.short.clear()
      assert.deepStrictEqual([beginning.status, yield* reason], [206, "chunks_missing"])
    })
  )

  it.effect("say which of many files have chunks that could not be read", () =>
    Effect.gen(function* () {
      const files = Array.from({ length: 60 }, (_, index) => ({
        start: t0 + Math.floor(index / 2) * 100,
        sampleRate: index % 2 === 0 ? rate : 8000,
        samples: index % 2 === 0 ? rate : 8000
      }))
      recording.put("scattered", files)
      const isBroken = (index: number) => [0, 7, 8, 30, 59].includes(index)
      const { urls } = yield* urlsOf("scattered")
      assert.lengthOf(urls.audio_files, files.length)
      for (const index of files.keys()) if (isBroken(index)) recording.unreadable.add(`ada-scattered-${index}`)
      for (const { signed_url } of urls.audio_files.toReversed()) yield* getSigned(signedPath(signed_url))
      recording.unreadable.clear()
      assert.deepStrictEqual(
        (yield* urlsOf("scattered")).urls.audio_files.map(({ reason }) => reason === "chunks_missing"),
        files.map((_, index) => isBroken(index))
      )
    })
  )

  it.effect("are 404 for an unknown and another user's conversation, and need a key", () =>
    Effect.gen(function* () {
      const path = "/v1/sync/audio/standup/urls"
      assert.strictEqual((yield* get("/v1/sync/audio/nothing/urls")).status, 404)
      assert.strictEqual((yield* get(path, { authorization: "Bearer spw_grace" })).status, 404)
      assert.strictEqual((yield* getSigned(path)).status, 401)
      const service = yield* get(`${path}?uid=ada`, { authorization: "Bearer spw_backend" })
      assert.strictEqual(service.status, 200)
    })
  )
})
