/** The chat on a real database, without the loops. */
import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { ChatErasure } from "../../../src/Chat.ts"
import { MemberRows } from "../../../src/Chat/MemberRows.ts"
import { MessageRows } from "../../../src/Chat/MessageRows.ts"
import * as Postgres from "../../support/Postgres.ts"

export const layer = Layer.mergeAll(ChatErasure.layer, MessageRows.layer, MemberRows.layer).pipe(
  Layer.provideMerge(Postgres.layer)
)

let made = 0

/** A stream of `owner`, which is live if `startedAgo` (an interval) is given. Returns its id. */
export const stream = (uid = "owner", startedAgo?: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const [row] = yield* sql<{ readonly id: number }>`
      insert into streams (uid, slug, title) values (${uid}, ${`world-${++made}`}, 'T') returning id::float8 as id`
    const id = row?.id ?? 0
    if (startedAgo !== undefined)
      yield* sql`
        insert into broadcasts (stream_id, id, uid, conversation, started_at)
        values (${id}::bigint, 1, ${uid}, 'c', now() - ${startedAgo}::interval)`
    return id
  })

let nonces = 0

export const post = (stream: number, uid: string, text = "x") =>
  MessageRows.use((rows) => rows.post({ stream, uid, text, nonce: `w${++nonces}`, isAdmin: false }))

/** Messages that exist already. Each is a millisecond after the one before. */
export const seed = (stream: number, count: number, uids = 1_000) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`
      insert into chat_messages (stream_id, id, uid, text, nonce, broadcast_id, stream_offset_ms, created_at)
      select ${stream}::bigint, n, 'u' || n % ${uids}::int, 'message ' || n, 's', 1, n, now() - interval '1 day' + n * interval '1 ms'
      from generate_series(1, ${count}::bigint) as n`
    yield* sql`
      insert into chat_rooms (stream_id, last_id) values (${stream}::bigint, ${count}::bigint)
      on conflict (stream_id) do update set last_id = excluded.last_id`
  })
