/** Rows of messages and changes. */
import { Context, Effect, Layer, Option, Schema } from "effect"
import type { SqlClient } from "effect/sql"
import { Db, type DbError, notify } from "../Db.ts"
import { type Change, columns, type Message, type MessageRow, messagesOf } from "./Message.ts"
import * as Post from "./Post.ts"

/** The topic of notifications about new rows. Their keys are ids of streams. */
export const topic = "chat"

/** Messages are counted up to this number. */
const maxCounted = 1_000

export interface Page {
  /** Exclusive. Newest first, unless `after` is given. */
  readonly before: number | undefined
  /** Exclusive. */
  readonly after: number | undefined
  readonly limit: number
}

export interface Replay {
  readonly broadcast: number
  /** Milliseconds since the start of the broadcast, inclusive. */
  readonly from: number
  /** Exclusive. */
  readonly to: number | undefined
  /** Of messages at `from`, those with higher ids. */
  readonly after: number
  readonly limit: number
}

export class MessageRows extends Context.Service<
  MessageRows,
  {
    page(stream: number, page: Page): Effect.Effect<ReadonlyArray<Message>, DbError>
    /** By offset, then id. */
    replay(stream: number, replay: Replay): Effect.Effect<ReadonlyArray<Message>, DbError>
    /** What has a higher id than `after`, in order: no later one is committed with a lower id than one of these. */
    changes(stream: number, after: number, limit: number): Effect.Effect<ReadonlyArray<Change>, DbError>
    /** Those of the streams that exist. The caller bounds them. */
    states(streams: ReadonlyArray<number>): Effect.Effect<ReadonlyArray<RoomState>, DbError>
    /** Of the last minute, counted to 1,000. */
    messagesPerMinute(stream: number): Effect.Effect<number, DbError>
    post(post: Post.Post): Effect.Effect<Message, DbError | Post.PostError>
    /** Of a message that may be deleted. */
    author(stream: number, id: number): Effect.Effect<Option.Option<string>, DbError>
    /** Does nothing if it is deleted already. */
    remove(stream: number, id: number, by: string): Effect.Effect<void, DbError>
  }
>()("spillway/Chat/MessageRows") {
  static readonly layer = Layer.effect(
    MessageRows,
    Effect.suspend(() => make)
  )
}

type Sql = SqlClient.SqlClient

/** Locks the room until the transaction ends, and returns the next id. */
export const nextId = Effect.fnUntraced(function* (sql: Sql, stream: number) {
  const rows = yield* sql<{ readonly id: number }>`
    insert into chat_rooms as r (stream_id, last_id) values (${stream}::bigint, 1)
    on conflict (stream_id) do update set last_id = r.last_id + 1
    returning last_id::float8 as id`
  return yield* Effect.orDie(Effect.fromNullishOr(rows[0]?.id))
})

const RoomState = Schema.Struct({
  stream: Schema.Finite,
  lastId: Schema.Finite,
  isEnabled: Schema.Boolean,
  slowModeSeconds: Schema.Int,
  isPrivate: Schema.Boolean
})
/** `lastId`: of the latest message or change; 0 before the first one. */
export type RoomState = typeof RoomState.Type
const decodeStates = Schema.decodeUnknownEffect(Schema.Array(RoomState))

const ChangeRow = Schema.Struct({
  kind: Schema.Literals(["message", "delete", "ban", "unban"]),
  id: Schema.Finite,
  message: Schema.NullOr(Schema.Finite),
  uid: Schema.String,
  text: Schema.String,
  broadcast: Schema.NullOr(Schema.Finite),
  offset: Schema.NullOr(Schema.Finite),
  at: Schema.NullOr(Schema.Date)
})
const decodeChanges = Schema.decodeUnknownEffect(Schema.Array(ChangeRow))

const changeOf = ({ at, broadcast, id, kind, message, offset, text, uid }: typeof ChangeRow.Type): Change => {
  switch (kind) {
    case "message":
      return {
        kind,
        id,
        message: {
          id,
          uid,
          text,
          broadcast: broadcast ?? undefined,
          offset: offset ?? undefined,
          createdAt: at ?? new Date(0)
        }
      }
    case "delete":
      return { kind, id, message: message ?? 0 }
    case "ban":
      return { kind, id, ban: { uid, until: at ?? undefined, reason: text } }
    case "unban":
      return { kind, id, uid }
  }
}

const make = Effect.gen(function* () {
  const db = yield* Db

  return MessageRows.of({
    page: Effect.fn("MessageRows.page")((stream, { after, before, limit }) =>
      db.read("MessageRows.page", (sql) => {
        const older = before === undefined ? sql`` : sql`and id + 0 < ${before}::bigint`
        const newer = after === undefined ? sql`` : sql`and id + 0 > ${after}::bigint`
        return Effect.map(
          sql<MessageRow>`
            select ${columns(sql)} from chat_messages
            where stream_id = ${stream}::bigint and deleted_at is null ${older} ${newer}
            order by chat_messages.id + 0 ${after === undefined ? sql`desc` : sql`asc`} limit ${limit}`,
          messagesOf
        )
      })
    ),
    replay: Effect.fn("MessageRows.replay")((stream, { after, broadcast, from, limit, to }) =>
      db.read("MessageRows.replay", (sql) =>
        Effect.map(
          sql<MessageRow>`
            select ${columns(sql)} from chat_messages
            where stream_id = ${stream}::bigint and broadcast_id = ${broadcast}::bigint and deleted_at is null
              and (stream_offset_ms, id) > (${from}::bigint, ${after}::bigint)
              ${to === undefined ? sql`` : sql`and stream_offset_ms < ${to}::bigint`}
            order by stream_offset_ms, chat_messages.id limit ${limit}`,
          messagesOf
        )
      )
    ),
    changes: Effect.fn("MessageRows.changes")((stream, after, limit) =>
      db.read("MessageRows.changes", (sql) =>
        sql`
          select * from (
            (select 'message' as kind, id::float8 as id, null::float8 as message, uid, text,
                    broadcast_id::float8 as broadcast, stream_offset_ms::float8 as "offset", created_at as at
             from chat_messages where stream_id = ${stream}::bigint and chat_messages.id + 0 > ${after}::bigint and deleted_at is null
             order by chat_messages.id + 0 limit ${limit})
            union all
            (select kind, id::float8 as id, message_id::float8 as message, uid, reason as text,
                    null as broadcast, null as "offset", until as at
             from chat_changes where stream_id = ${stream}::bigint and chat_changes.id > ${after}::bigint
             order by chat_changes.id limit ${limit})
          ) as c order by id limit ${limit}`.pipe(
          Effect.flatMap(decodeChanges),
          Effect.map((rows) => rows.map(changeOf)),
          Effect.catchTag("SchemaError", Effect.die)
        )
      )
    ),
    states: Effect.fn("MessageRows.states")((streams) =>
      db.read("MessageRows.states", (sql) =>
        sql`
          select s.id::float8 as stream, coalesce(r.last_id, 0)::float8 as "lastId", s.chat_enabled as "isEnabled",
                 s.slow_mode_seconds as "slowModeSeconds", s.visibility = 'private' as "isPrivate"
          from streams s left join chat_rooms r on r.stream_id = s.id
          where s.id = any(${streams.map(String)}::bigint[]) and s.deleted_at is null limit ${streams.length}`.pipe(
          Effect.flatMap(decodeStates),
          Effect.catchTag("SchemaError", Effect.die)
        )
      )
    ),
    messagesPerMinute: Effect.fn("MessageRows.messagesPerMinute")((stream) =>
      Effect.map(
        db.read(
          "MessageRows.messagesPerMinute",
          (sql) => sql<{ readonly count: number }>`
            select count(*)::int as count from (
              select created_at from chat_messages where stream_id = ${stream}::bigint and deleted_at is null
              order by id + 0 desc limit ${maxCounted}
            ) as latest where created_at > now() - interval '1 minute'`
        ),
        ([row]) => row?.count ?? 0
      )
    ),
    post: Effect.fn("MessageRows.post")((post) =>
      db.transactionIdempotent(
        "MessageRows.post",
        Effect.fnUntraced(function* (sql) {
          const id = yield* nextId(sql, post.stream)
          const repeated = yield* Post.check(sql, post)
          // Of a repeated message the new id stays unused.
          const [message] = yield* repeated === undefined ? Post.insert(sql, post, id) : Post.find(sql, post, repeated)
          if (repeated === undefined) yield* notify(sql, topic, post.stream)
          return yield* Effect.orDie(Effect.fromNullishOr(message))
        })
      )
    ),
    author: Effect.fn("MessageRows.author")((stream, id) =>
      Effect.map(
        db.read(
          "MessageRows.author",
          (sql) => sql<{ readonly uid: string }>`
            select uid from chat_messages where stream_id = ${stream}::bigint and id = ${id}::bigint limit 1`
        ),
        ([row]) => Option.fromUndefinedOr(row?.uid)
      )
    ),
    remove: Effect.fn("MessageRows.remove")((stream, id, by) =>
      db.transactionIdempotent(
        "MessageRows.remove",
        Effect.fnUntraced(function* (sql) {
          const change = yield* nextId(sql, stream)
          const rows = yield* sql`
            with gone as (
              update chat_messages set deleted_at = now()
              where stream_id = ${stream}::bigint and id = ${id}::bigint and deleted_at is null returning uid
            )
            insert into chat_changes (stream_id, id, kind, message_id, uid, changed_by)
            select ${stream}::bigint, ${change}::bigint, 'delete', ${id}::bigint, uid, ${by} from gone
            returning id`
          if (rows.length > 0) yield* notify(sql, topic, stream)
        })
      )
    )
  })
})
