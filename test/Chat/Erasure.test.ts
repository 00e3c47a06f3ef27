/** `src/Chat/Erasure.ts` on a real database. */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { ChatErasure } from "../../src/Chat.ts"
import { MemberRows } from "../../src/Chat/MemberRows.ts"
import { MessageRows } from "../../src/Chat/MessageRows.ts"
import * as World from "./support/World.ts"

const tables = ["chat_messages", "chat_changes", "chat_moderators", "chat_bans"]

const countOf = (where: "stream_id" | "uid", value: number | string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    let count = 0
    for (const table of tables)
      count += (yield* sql`select 1 as one from ${sql(table)} where ${sql(where)}::text = ${String(value)}`).length
    return count
  })

/** A room with rows of all kinds, of two users. */
const room = Effect.gen(function* () {
  const [messages, members] = [yield* MessageRows, yield* MemberRows]
  const stream = yield* World.stream()
  yield* World.seed(stream, 2_500, 2)
  for (const uid of ["u0", "u1"]) {
    const { id } = yield* World.post(stream, uid)
    yield* messages.remove(stream, id, uid)
    yield* members.putBan({ stream, uid, seconds: 60, reason: "r", by: uid, replacesBan: true })
    yield* members.putModerator(stream, uid, ["delete"])
  }
  return stream
})

layer(World.layer, { excludeTestServices: true })("Erasure", (it) => {
  it.effect("removes the rooms of deleted streams, in batches, and no other", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { eraseAfter } = yield* ChatErasure
      const [kept, deleted] = [yield* room, yield* room]
      const before = yield* countOf("stream_id", kept)
      yield* sql`update streams set deleted_at = now() where id = ${deleted}::bigint`
      let [at, batches]: [number | undefined, number] = [0, 0]
      for (; at !== undefined; batches++) at = yield* eraseAfter(at)
      assert.isAtLeast(batches, 4)
      assert.strictEqual(yield* countOf("stream_id", deleted), 0)
      assert.strictEqual(yield* countOf("stream_id", kept), before)
      assert.lengthOf(yield* sql`select 1 as one from chat_rooms where stream_id = ${deleted}::bigint`, 0)
    })
  )

  it.effect("removes what a user has written and done, in all rooms, and nothing of others", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { eraseOf, has } = yield* ChatErasure
      const stream = yield* room
      const before = yield* countOf("uid", "u1")
      const { id } = yield* World.post(stream, "u2")
      yield* MessageRows.use((messages) => messages.remove(stream, id, "u0"))
      assert.isTrue(yield* has("u0"))
      assert.isFalse(yield* has("u"))
      let batches = 0
      while ((yield* eraseOf("u0")) > 0) batches++
      assert.isAtLeast(batches, 2)
      assert.strictEqual(yield* countOf("uid", "u0"), 0)
      assert.strictEqual(yield* countOf("uid", "u1"), before)
      assert.isFalse(yield* has("u0"))
      for (const table of tables)
        assert.deepStrictEqual(yield* sql`select t::text as row from ${sql(table)} as t where t::text ~ '\\mu0\\M'`, [])
    })
  )

  it.effect("removes timeouts that ended a day ago, and keeps bans", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const members = yield* MemberRows
      const { prune } = yield* ChatErasure
      const stream = yield* World.stream()
      const ban = (uid: string, seconds: number | undefined) =>
        members.putBan({ stream, uid, seconds, reason: "", by: "owner", replacesBan: true })
      yield* ban("old", 60)
      yield* ban("new", 60)
      yield* ban("ever", undefined)
      yield* sql`update chat_bans set until = now() - interval '25 hours' where uid = 'old'`
      yield* prune
      const left = yield* sql<{ readonly uid: string }>`
        select uid from chat_bans where stream_id = ${stream}::bigint order by uid`
      assert.deepStrictEqual(
        left.map(({ uid }) => uid),
        ["ever", "new"]
      )
    })
  )
})
