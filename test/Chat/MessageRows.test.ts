/** `src/Chat/MessageRows.ts` on a real database: pages, replays and changes, while others post and delete. */
import { assert, layer } from "@effect/vitest"
import { Arbitrary, Effect, Fiber, Schema } from "effect"
import { SqlClient } from "effect/sql"
import type { Message } from "../../src/Chat/Message.ts"
import { MessageRows } from "../../src/Chat/MessageRows.ts"
import { uncommitted } from "../Webhooks/support/World.ts"
import * as World from "./support/World.ts"

const idsOf = (messages: ReadonlyArray<{ readonly id: number }>) => messages.map(({ id }) => id)

/** All pages, from the newest message or from the oldest. */
const readAll = (stream: number, limit: number, isForward: boolean) =>
  Effect.gen(function* () {
    const rows = yield* MessageRows
    const all: Array<Message> = []
    for (let page: ReadonlyArray<Message> | undefined; page?.length !== 0;) {
      const edge = all.at(-1)?.id
      const [before, after] = isForward ? [undefined, edge ?? 0] : [edge, undefined]
      page = yield* rows.page(stream, { before, after, limit })
      all.push(...page)
    }
    return all
  })

const Actions = Schema.Struct({
  posts: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5 }))).check(
    Schema.isBetweenLength(1, 30)
  ),
  limit: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 7 }))
})

layer(World.layer, { excludeTestServices: true })("Pages of messages", (it) => {
  it.effect.prop(
    "miss no message and repeat none while others post and delete",
    [Arbitrary.schema(Actions)],
    ([{ limit, posts }]) =>
      Effect.gen(function* () {
        const rows = yield* MessageRows
        const stream = yield* World.stream()
        for (let n = 0; n < 20; n++) yield* World.post(stream, `a${stream}-${n % 3}`)
        const before = idsOf(yield* readAll(stream, 100, true))
        const deleted = new Set<number>()
        const work = Effect.forEach(
          posts,
          (post, n) => {
            if (post > 0) return World.post(stream, `b${stream}-${n % 4}`)
            const id = before[(n * 7) % before.length] ?? 0
            deleted.add(id)
            return rows.remove(stream, id, "owner")
          },
          { concurrency: 4, discard: true }
        )
        const fiber = yield* Effect.forkChild(work)
        const backward = yield* readAll(stream, limit, false)
        const forward = yield* readAll(stream, limit, true)
        yield* Fiber.join(fiber)
        for (const [read, sorted] of [
          [idsOf(backward), idsOf(backward).toSorted((a, b) => b - a)],
          [idsOf(forward), idsOf(forward).toSorted((a, b) => a - b)]
        ] as const) {
          assert.deepStrictEqual(read, sorted)
          assert.strictEqual(new Set(read).size, read.length)
          for (const id of before) assert.isTrue(read.includes(id) || deleted.has(id), `message ${id} is missing`)
        }
        const kept = idsOf(yield* readAll(stream, 100, true))
        assert.lengthOf(kept, 20 + posts.filter((post) => post > 0).length - deleted.size)
      }),
    { arbitrary: { runs: 8 } }
  )

  it.effect("have what comes after an id in the order of commits: no id is committed after a higher one", () =>
    Effect.gen(function* () {
      const rows = yield* MessageRows
      const stream = yield* World.stream()
      const first = yield* uncommitted(World.post(stream, "slow"))
      const second = yield* Effect.forkChild(World.post(stream, "fast"), { startImmediately: true })
      assert.deepStrictEqual(yield* rows.changes(stream, 0, 10), [])
      const [one, two] = [yield* first.commit, yield* Fiber.join(second)]
      assert.isTrue(one.id < two.id)
      assert.deepStrictEqual(idsOf(yield* rows.changes(stream, 0, 10)), [one.id, two.id])
    })
  )

  it.effect("are found by the broadcast and the offset in it, and none of another broadcast", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const rows = yield* MessageRows
      const stream = yield* World.stream("owner", "90 seconds")
      const first = yield* World.post(stream, "ada")
      assert.strictEqual(first.broadcast, 1)
      assert.isTrue((first.offset ?? 0) >= 90_000 && (first.offset ?? 0) < 150_000)
      yield* sql`update broadcasts set ended_at = now() where stream_id = ${stream}::bigint`
      const between = yield* World.post(stream, "ada")
      assert.deepStrictEqual([between.broadcast, between.offset], [undefined, undefined])
      yield* sql`
        update chat_messages set broadcast_id = 1, stream_offset_ms = 90000 where stream_id = ${stream}::bigint`
      for (const uid of ["ada", "bob", "eve"]) yield* World.post(stream, uid)
      yield* sql`
        update chat_messages set broadcast_id = 1, stream_offset_ms = 90000 + greatest(id - 4, 0) * 10
        where stream_id = ${stream}::bigint`
      const replay = (from: number, after: number, to?: number) =>
        Effect.map(rows.replay(stream, { broadcast: 1, from, after, to, limit: 2 }), idsOf)
      assert.deepStrictEqual(yield* replay(0, 0), [1, 2])
      assert.deepStrictEqual(yield* replay(90_000, 2), [3, 4])
      assert.deepStrictEqual(yield* replay(90_001, 0), [5])
      assert.deepStrictEqual(yield* replay(90_000, 3, 90_010), [4])
      assert.deepStrictEqual(
        yield* rows.replay(stream, { broadcast: 2, from: 0, after: 0, to: undefined, limit: 2 }),
        []
      )
    })
  )
})
