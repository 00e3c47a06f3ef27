/** The plans of all statements of `src/Chat` at a million messages. */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { Db } from "../../src/Db.ts"
import { ChatErasure } from "../../src/Chat.ts"
import { MemberRows } from "../../src/Chat/MemberRows.ts"
import { MessageRows } from "../../src/Chat/MessageRows.ts"
import * as Plans from "../support/Plans.ts"
import * as World from "./support/World.ts"

const messages = 1_000_000
const others = 50
const users = 20_000

/** One room with most messages, among smaller ones; as many bans, changes and moderators as make a scan cost more than an index. */
const fill = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`insert into streams (uid, slug, title) select 'owner', 'plan-' || n, 'T' from generate_series(1, 5000) as n`
  const [first] = yield* sql<{ readonly id: number }>`select min(id)::float8 as id from streams`
  const stream = first?.id ?? 0
  // Without their indexes, a third of the time. A wave of spam was deleted: pages read no deleted message.
  for (const index of ["visible", "of_broadcast", "of_user"]) yield* sql`drop index ${sql(`chat_messages_${index}`)}`
  yield* sql`alter table chat_messages drop constraint chat_messages_pkey`
  yield* sql`
    insert into chat_messages (stream_id, id, uid, text, nonce, broadcast_id, stream_offset_ms, created_at, deleted_at)
    select ${stream}::bigint + case when n % 10 = 0 then n / 10 % ${others}::int else 0 end, n, 'u' || n * 7919 % ${users}::int, 'x', 's',
           1 + n / 100000, n % 100000, now() - interval '1 day', case when n % 20 = 0 or n between 400001 and 600000 then now() end
    from generate_series(1, ${messages}::bigint) as n`
  yield* sql`alter table chat_messages add primary key (stream_id, id)`
  yield* sql`create index chat_messages_visible on chat_messages (stream_id, (id + 0) desc) where deleted_at is null`
  yield* sql`
    create index chat_messages_of_broadcast on chat_messages (stream_id, broadcast_id, stream_offset_ms, id)
    where deleted_at is null and broadcast_id is not null`
  yield* sql`create index chat_messages_of_user on chat_messages (uid, created_at)`
  yield* sql`insert into chat_rooms select id, ${messages}::bigint from streams`
  yield* sql`
    insert into chat_changes (stream_id, id, kind, message_id, uid, changed_by)
    select ${stream}::bigint, n, 'delete', n, 'u' || n, 'm' || n from generate_series(20, 100000) as n`
  yield* sql`
    insert into chat_bans (stream_id, uid, until, reason, banned_by)
    select ${stream}::bigint, 'u' || n, case when n % 2 = 0 then now() + interval '1 day' end, '', 'm' || n
    from generate_series(1, 20000) as n`
  yield* sql`
    insert into chat_moderators (stream_id, uid, permissions)
    select ${stream}::bigint + n % 1000, 'm' || n, '{delete}' from generate_series(1, 20000) as n`
  yield* sql`vacuum analyze chat_messages, chat_rooms, chat_changes, chat_bans, chat_moderators, streams, broadcasts`
  return stream
})

/** The statements of `work`, which is undone, so that they can run again. */
const statementsOf = (work: Effect.Effect<unknown, unknown>) =>
  Effect.gen(function* () {
    const db = yield* Db
    const undone = yield* db
      .transaction("test.undo", () =>
        Effect.flatMap(Effect.orDie(Plans.statementsOf(work)), (ran) => Effect.fail({ ran }))
      )
      .pipe(Effect.flip)
    return "ran" in undone ? undone.ran : yield* Effect.die(undone)
  })

layer(World.layer, { excludeTestServices: true })("Every statement of the chat", (it) => {
  it.effect("reads no more rows than it returns or checks, at a million messages", () =>
    Effect.gen(function* () {
      const stream = yield* fill
      const [rows, members, erasure] = [yield* MessageRows, yield* MemberRows, yield* ChatErasure]
      const deep = messages / 2
      const page = (before: number | undefined, after: number | undefined) =>
        rows.page(stream, { before, after, limit: 101 })
      const replay = { broadcast: 5, from: 50_000, to: undefined, after: 0, limit: 101 }
      const post = { stream, uid: "u0", nonce: "n", text: "x", isAdmin: false }
      const ban = { stream, uid: "u3", seconds: 60, reason: "", by: "m1", replacesBan: false }
      const works: Record<string, readonly [Effect.Effect<unknown, unknown>, number]> = {
        newest: [page(undefined, undefined), 250],
        "page at depth": [page(deep, undefined), 250],
        "page after": [page(undefined, deep), 250],
        replay: [rows.replay(stream, replay), 250],
        "replay of a range": [rows.replay(stream, { ...replay, to: 50_050 }), 250],
        changes: [rows.changes(stream, deep, 100), 350],
        "changes with deletions": [rows.changes(stream, 1_000, 100), 250],
        states: [rows.states(Array.from({ length: 500 }, (_, n) => stream + n)), 5_000],
        messagesPerMinute: [rows.messagesPerMinute(stream), 1_000],
        post: [rows.post(post), 250],
        author: [rows.author(stream, deep), 10],
        remove: [rows.remove(stream, 700_001, "m1"), 10],
        moderator: [members.moderator(stream, "m1000"), 10],
        moderators: [members.moderators(stream, { after: "m2", limit: 101 }), 250],
        putModerator: [members.putModerator(stream + 2_000, "u7", ["ban"]), 250],
        removeModerator: [members.removeModerator(stream, "m1000"), 10],
        ban: [members.ban(stream, "u5"), 10],
        bans: [members.bans(stream, { after: "u5", limit: 101 }), 250],
        putBan: [members.putBan(ban), 10],
        removeBan: [members.removeBan(stream, "u8", "m1", "timeouts"), 10],
        has: [erasure.has("u11"), 10],
        eraseOf: [erasure.eraseOf("u13"), 2_100],
        "rooms to erase": [erasure.eraseAfter(stream + 100), 1_600],
        prune: [erasure.prune, 2_100]
      }
      const found: Array<string> = []
      for (const [name, [work, most]] of Object.entries(works)) {
        const statements = yield* statementsOf(work)
        assert.isNotEmpty(statements, name)
        for (const statement of statements)
          for (const problem of yield* Plans.problemsOf(statement, most)) found.push(`${name}: ${problem}`)
      }
      assert.deepStrictEqual(found, [])
      const sql = yield* SqlClient.SqlClient
      yield* sql`update streams set deleted_at = now() where id = ${stream + 1}::bigint`
      for (const statement of yield* statementsOf(erasure.eraseAfter(stream)))
        for (const problem of yield* Plans.problemsOf(statement, 3_100)) found.push(`erase: ${problem}`)
      assert.deepStrictEqual(found, [])
    })
  )
})
