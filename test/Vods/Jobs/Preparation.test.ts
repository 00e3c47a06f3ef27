/** `src/Vods/Jobs/Preparation.ts` on a real database: when a VOD has failed. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { SqlClient } from "effect/sql"
import { Playback } from "../../../src/Playback.ts"
import { Precache, type Progress } from "../../../src/Precache.ts"
import { JobRows } from "../../../src/Vods/Jobs/JobRows.ts"
import * as Preparation from "../../../src/Vods/Jobs/Preparation.ts"
import * as World from "../support/World.ts"

const merges: { progress: Progress } = { progress: { merging: 1, failing: undefined, dead: undefined } }

const audio = {
  uid: "u",
  id: "talk-1",
  createdAt: new Date(0),
  finishedAt: Option.none(),
  live: false,
  clockShifts: 0,
  span: { start: 1_760_000_000, end: 1_760_000_002 },
  capturedSeconds: 2,
  lostSeconds: 0,
  files: [],
  filesNext: undefined
}

const world = Layer.mergeAll(
  Layer.mock(Playback, {
    conversation: () => Effect.succeedSome(audio),
    render: () => assert.fail("nothing is played")
  }),
  Layer.mock(Precache, {
    request: () => Effect.succeedSome(1),
    progress: () => Effect.sync(() => merges.progress)
  })
).pipe(Layer.provideMerge(World.layer))

layer(world, { excludeTestServices: true })("The preparation of a VOD", (it) => {
  it.effect("fails with a merge that fails for ten minutes, however long its audio was awaited before", () =>
    Effect.gen(function* () {
      const [sql, rows] = [yield* SqlClient.SqlClient, yield* JobRows]
      const prepare = yield* Preparation.make
      yield* World.stream("u", "talk")
      yield* World.broadcasts("talk", [1])
      yield* rows.create
      const step = Effect.gen(function* () {
        yield* sql`update vod_jobs set due_at = now()`
        yield* sql`update vod_turns set due_at = now()`
        const turn = Option.getOrUndefined(yield* rows.claim) ?? assert.fail("it is due")
        return yield* prepare(turn.job)
      })
      yield* sql`update vod_jobs set begun_at = now() - interval '50 minutes'`
      assert.strictEqual(yield* step, "waiting")
      merges.progress = { merging: 1, failing: "merge_failed", dead: undefined }
      assert.strictEqual(yield* step, "waiting")
      yield* sql`update vod_jobs set requested_at = requested_at - interval '10 minutes'`
      assert.strictEqual(yield* step, "abandoned")
      assert.deepStrictEqual(yield* sql`select status, reason from vods`, [
        { status: "failed", reason: "merge_failed" }
      ])
    })
  )
})
