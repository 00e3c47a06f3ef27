/** Posting a message: bans, slow mode and rates, checked under the lock of the room. */
import { Duration, Effect, Schema } from "effect"
import type { SqlClient } from "effect/sql"
import { maxSlowModeSeconds } from "../Streams.ts"
import { columns, type MessageRow, messagesOf } from "./Message.ts"

/** Messages that a user posts in a minute, in all streams. */
export const messagesPerMinute = 60

export interface Post {
  readonly stream: number
  readonly uid: string
  /** Of the author, or of the caller that makes one up. */
  readonly nonce: string
  readonly text: string
  /** Posts as if it owned the stream. */
  readonly isAdmin: boolean
}

export class ChatDisabled extends Schema.TaggedError<ChatDisabled>()("ChatDisabled", {}) {
  override get message() {
    return "The chat of this stream is switched off."
  }
}

export class Banned extends Schema.TaggedError<Banned>()("Banned", {
  until: Schema.UndefinedOr(Schema.Date),
  reason: Schema.String
}) {
  override get message() {
    const end = this.until === undefined ? "" : ` until ${this.until.toISOString()}`
    return `You may not post in this chat${end}${this.reason === "" ? "." : `: ${this.reason}`}`
  }
}

/** `limit`: what the message exceeds. */
export class TooFast extends Schema.TaggedError<TooFast>()("TooFast", {
  limit: Schema.Literals(["slow-mode", "user", "address"]),
  wait: Schema.Duration
}) {
  get seconds(): number {
    return Math.max(1, Math.ceil(Duration.toSeconds(this.wait)))
  }
  override get message() {
    const rule = {
      "slow-mode": "The chat is in slow mode",
      user: `A user may post ${messagesPerMinute} messages a minute`,
      address: "Too many messages came from this address"
    }[this.limit]
    return `${rule}: post again in ${this.seconds} s.`
  }
}

export type PostError = ChatDisabled | Banned | TooFast

const State = Schema.Struct({
  enabled: Schema.Boolean,
  slow: Schema.Int,
  exempt: Schema.Boolean,
  banned: Schema.Boolean,
  until: Schema.NullOr(Schema.Date),
  reason: Schema.NullOr(Schema.String),
  repeated: Schema.NullOr(Schema.Finite),
  /** Milliseconds since the user's previous message in this stream. */
  since: Schema.NullOr(Schema.Finite),
  recent: Schema.Int,
  /** Milliseconds since the oldest of the user's messages that count. */
  oldest: Schema.NullOr(Schema.Finite)
})
const decodeState = Schema.decodeUnknownEffect(Schema.Array(State))

const minute = 60_000

const tooFast = (limit: TooFast["limit"], millis: number) => new TooFast({ limit, wait: Duration.millis(millis) })

/** Fails, or returns the id of the message if it is posted already. The caller holds the lock of the room. */
export const check = Effect.fnUntraced(function* (sql: SqlClient.SqlClient, { isAdmin, nonce, stream, uid }: Post) {
  const rows = yield* sql`
    select s.chat_enabled as enabled, s.slow_mode_seconds as slow,
           s.uid = ${uid} or ${isAdmin} or exists (
             select from chat_moderators where stream_id = s.id and uid = ${uid}
           ) as exempt,
           b.uid is not null as banned, b.until, b.reason, recent.*
    from streams s
    left join chat_bans b on b.stream_id = s.id and b.uid = ${uid} and coalesce(b.until > clock_timestamp(), true)
    cross join lateral (
      select max(id) filter (where stream_id = s.id and nonce = ${nonce})::float8 as repeated,
             (extract(epoch from clock_timestamp() - max(created_at) filter (where stream_id = s.id)) * 1e3)::float8 as since,
             count(*) filter (where created_at > clock_timestamp() - interval '1 minute')::int as recent,
             (extract(epoch from clock_timestamp() - min(created_at)
               filter (where created_at > clock_timestamp() - interval '1 minute')) * 1e3)::float8 as oldest
      from (
        select stream_id, id, nonce, created_at from chat_messages
        where uid = ${uid} and created_at > clock_timestamp() - make_interval(secs => ${maxSlowModeSeconds})
        order by created_at desc limit ${2 * messagesPerMinute}
      ) as r
    ) as recent
    where s.id = ${stream}::bigint and s.deleted_at is null limit 1`
  const [state] = yield* Effect.catchTag(decodeState(rows), "SchemaError", Effect.die)
  if (state === undefined) return yield* new ChatDisabled()
  if (state.repeated !== null) return state.repeated
  if (state.banned && !isAdmin)
    return yield* new Banned({ until: state.until ?? undefined, reason: state.reason ?? "" })
  if (!state.enabled) return yield* new ChatDisabled()
  if (state.recent >= messagesPerMinute) return yield* tooFast("user", minute - (state.oldest ?? 0))
  const pause = state.slow * 1_000
  if (!state.exempt && state.since !== null && state.since < pause)
    return yield* tooFast("slow-mode", pause - state.since)
  return undefined
})

/** The message gets the database's time, which does not go back while the room is locked, and the place in the broadcast. */
export function insert(sql: SqlClient.SqlClient, { nonce, stream, text, uid }: Post, id: number) {
  return Effect.map(
    sql<MessageRow>`
      insert into chat_messages (stream_id, id, uid, text, nonce, broadcast_id, stream_offset_ms, created_at)
      select ${stream}::bigint, ${id}::bigint, ${uid}, ${text}, ${nonce}, b.id,
             case when b.id is not null then greatest(0, extract(epoch from t.at - b.started_at) * 1e3)::bigint end, t.at
      from (select clock_timestamp() as at) as t
      left join broadcasts b on b.stream_id = ${stream}::bigint and b.ended_at is null
      returning ${columns(sql)}`,
    messagesOf
  )
}

export function find(sql: SqlClient.SqlClient, { stream }: Post, id: number) {
  return Effect.map(
    sql<MessageRow>`select ${columns(sql)} from chat_messages where stream_id = ${stream}::bigint and id = ${id}::bigint limit 1`,
    messagesOf
  )
}
