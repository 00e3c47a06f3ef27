/** Conversations over HTTP. */
import { assert, layer } from "@effect/vitest"
import { Effect, Option } from "effect"
import { MemoryRecording, rate, t0 } from "./support/MemoryRecording.ts"
import { get, servedPlayback } from "./support/ServedPlayback.ts"

const recording = new MemoryRecording()
recording.put("other", [{}], { uid: "grace" })
recording.put("empty", [], { live: true })
recording.put(
  "standup",
  [
    { start: t0 },
    { start: t0 + 2, samples: rate / 2, state: "lost" },
    { start: t0 + 3.25 },
    { start: t0 + 200, samples: 8000, sampleRate: 8000 }
  ],
  { finishedAt: Option.some(new Date("2024-01-02T03:04:05Z")), clockShifts: 2 }
)

const json = (path: string, headers: Record<string, string> = {}) =>
  Effect.map(get(path, headers), ({ body, status }) => ({ status, body: JSON.parse(body.toString()) }))

layer(servedPlayback(recording))("conversations", (it) => {
  it.effect("returns a conversation with its durations and audio files", () =>
    Effect.gen(function* () {
      const { body, status } = yield* json("/v1/conversations/standup")
      assert.strictEqual(status, 200)
      const ids = body.audio_files.map(({ id }: { readonly id: string }) => id)
      assert.strictEqual(new Set(ids).size, 2)
      assert.deepStrictEqual(body, {
        id: "standup",
        uid: "ada",
        live: false,
        started_at: "2023-11-14T22:13:20.000Z",
        finished_at: "2024-01-02T03:04:05.000Z",
        duration: 201,
        captured_duration: 3,
        lost_seconds: 0.5,
        clock_shifts: 2,
        audio_files: [
          {
            id: ids[0],
            started_at: "2023-11-14T22:13:20.000Z",
            duration: 4.25,
            codec: "pcm16",
            sample_rate: rate,
            bytes: 44 + 4.25 * rate * 2
          },
          {
            id: ids[1],
            started_at: "2023-11-14T22:16:40.000Z",
            duration: 1,
            codec: "pcm16",
            sample_rate: 8000,
            bytes: 44 + 16_000
          }
        ],
        files_next: null
      })
      for (const { bytes, id } of body.audio_files) {
        const audio = yield* get(`/v1/sync/audio/standup/${id}`)
        assert.deepStrictEqual([audio.status, audio.body.length], [200, bytes])
      }
    })
  )

  it.effect("returns a conversation without audio as not started", () =>
    Effect.gen(function* () {
      const { body } = yield* json("/v1/conversations/empty")
      assert.deepStrictEqual(body, {
        id: "empty",
        uid: "ada",
        live: true,
        started_at: null,
        finished_at: null,
        duration: 0,
        captured_duration: 0,
        lost_seconds: 0,
        clock_shifts: 0,
        audio_files: [],
        files_next: null
      })
    })
  )

  it.effect("lists the user's own conversations, newest first, page by page", () =>
    Effect.gen(function* () {
      const first = yield* json("/v1/conversations?limit=1")
      assert.deepStrictEqual(
        first.body.conversations.map(({ id }: { readonly id: string }) => id),
        ["standup"]
      )
      const second = yield* json(`/v1/conversations?limit=1&before=${first.body.next}`)
      assert.deepStrictEqual([second.body.conversations[0].id, second.body.next], ["empty", null])
      const all = yield* json("/v1/conversations")
      assert.deepStrictEqual([all.body.conversations.length, all.body.next], [2, null])
    })
  )

  it.effect("lists a conversation's latest 1,000 audio files, and earlier ones on request", () =>
    Effect.gen(function* () {
      recording.put(
        "long",
        Array.from({ length: 1_003 }, (_, index) => ({ start: t0 + index * 100, samples: 16 })),
        { uid: "grace" }
      )
      const grace = { authorization: "Bearer spw_grace" }
      for (const path of ["/v1/conversations/long", "/v1/conversations/long/waveform"]) {
        const { body: last } = yield* json(path, grace)
        assert.lengthOf(last.audio_files, 1_000)
        assert.strictEqual(last.audio_files[999].started_at, new Date((t0 + 100_200) * 1000).toISOString())
        const { body: first } = yield* json(`${path}?files_before=${last.files_next}`, grace)
        assert.deepStrictEqual([first.audio_files.length, first.files_next], [3, null])
        assert.strictEqual(first.audio_files[0].started_at, new Date(t0 * 1000).toISOString())
        for (const cursor of ["", "x", "1", "1_2", "1_zzzzzzzz-0000-0000-0000-000000000000"])
          assert.strictEqual((yield* json(`${path}?files_before=${cursor}`, grace)).status, 400, cursor)
      }
      const list = yield* json("/v1/conversations?limit=100", grace)
      assert.lengthOf(list.body.conversations[0].audio_files, 20, "of as many conversations as a page may have")
      assert.isString(list.body.conversations[0].files_next)
    })
  )

  it.effect("hides other users' conversations, except from a service that names the user", () =>
    Effect.gen(function* () {
      const grace = { authorization: "Bearer spw_grace" }
      const service = { authorization: "Bearer spw_backend" }
      assert.strictEqual((yield* json("/v1/conversations/standup", grace)).status, 404)
      assert.strictEqual((yield* json("/v1/conversations", grace)).body.conversations.length, 2)
      assert.strictEqual((yield* json("/v1/conversations", service)).body.conversations.length, 0)
      assert.strictEqual((yield* json("/v1/conversations?uid=grace", service)).body.conversations[0].uid, "grace")
      assert.strictEqual((yield* json("/v1/conversations/standup?uid=ada", service)).status, 200)
      assert.strictEqual((yield* json("/v1/conversations/standup?uid=ada", grace)).status, 403)
      assert.strictEqual((yield* json("/v1/conversations", { authorization: "" })).status, 401)
    })
  )

  it.effect("rejects invalid limits, cursors and ids", () =>
    Effect.gen(function* () {
      for (const path of [
        "?limit=0",
        "?limit=101",
        "?limit=1.5",
        "?limit=x",
        "?before=x",
        "?before=",
        "?before=-1",
        "?before=1",
        `?before=1-${"9".repeat(19)}`,
        "/a%2Fb",
        "/..%2F",
        `/${"a".repeat(129)}`
      ]) {
        assert.strictEqual((yield* json(`/v1/conversations${path}`)).status, 400, path)
      }
      assert.strictEqual((yield* json("/v1/conversations/unknown")).status, 404)
    })
  )
})
