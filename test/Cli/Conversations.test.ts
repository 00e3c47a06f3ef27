/** The command line reads conversations page by page from the real routes. */
import { assert, layer } from "@effect/vitest"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Layer, Redacted } from "effect"
import { CliConfig } from "../../src/Cli/CliConfig.ts"
import * as Conversations from "../../src/Cli/Conversations.ts"
import { MemoryRecording, t0 } from "../Playback/support/MemoryRecording.ts"
import { servedPlayback } from "../Playback/support/ServedPlayback.ts"

const recording = new MemoryRecording()
recording.put(
  "long",
  Array.from({ length: 2_001 }, (_, index) => ({ start: t0 + index * 100, samples: 16 }))
)

recording.put("hers", [{ start: t0, samples: 16 }], { uid: "grace" })

const world = servedPlayback(recording).pipe(Layer.provideMerge(Layer.merge(CliConfig.layer, NodeServices.layer)))

layer(world, { excludeTestServices: true })("a conversation of many audio files", (it) => {
  it.effect("lists all of them by start on the command line", () =>
    Effect.gen(function* () {
      // The client knows where the server is.
      const target = { url: "", key: Redacted.make("spw_ada") }
      const files = yield* Conversations.files(target, "long")
      assert.lengthOf(files, 2_001)
      const starts = files.map(({ started_at }) => started_at.epochMilliseconds / 1000)
      assert.deepStrictEqual(
        starts,
        Array.from({ length: 2_001 }, (_, index) => t0 + index * 100)
      )
    })
  )

  it.effect("lists and opens those of the user that a service names", () =>
    Effect.gen(function* () {
      const service = { url: "", key: Redacted.make("spw_backend") }
      assert.isEmpty((yield* Conversations.list(service, 20)).conversations)
      const grace = { ...service, uid: "grace" }
      assert.deepStrictEqual(
        (yield* Conversations.list(grace, 20)).conversations.map(({ id }) => id),
        ["hers"]
      )
      assert.lengthOf(yield* Conversations.files(grace, "hers"), 1)
    })
  )
})
