/** Rows of moderators and bans. */
import { Context, Effect, Layer, Option, Schema } from "effect"
import type { SqlClient } from "effect/sql"
import { Db, type DbError, notify } from "../Db.ts"
import type { Ban } from "./Message.ts"
import { nextId, topic } from "./MessageRows.ts"

/** `delete` messages, `timeout` and `ban` users, change the `settings` of the chat. */
export const Permission = Schema.Literals(["delete", "timeout", "ban", "settings"])
export type Permission = typeof Permission.Type

/** Moderators of a stream. One more is rejected. */
export const maxModerators = 100

export interface Moderator {
  readonly uid: string
  readonly permissions: ReadonlyArray<Permission>
  readonly addedAt: Date
}

export class TooManyModerators extends Schema.TaggedError<TooManyModerators>()("TooManyModerators", {}) {
  override get message() {
    return `The stream has ${maxModerators} moderators. Remove one first.`
  }
}

interface NewBan extends Pick<Ban, "uid" | "reason" | "by"> {
  readonly stream: number
  /** None: for ever. */
  readonly seconds: number | undefined
  /** Whether it may take the place of a ban for ever. */
  readonly replacesBan: boolean
}

interface Page {
  /** Exclusive; pages are in order of uids. */
  readonly after: string | undefined
  readonly limit: number
}

export class MemberRows extends Context.Service<
  MemberRows,
  {
    moderator(stream: number, uid: string): Effect.Effect<Option.Option<Moderator>, DbError>
    moderators(stream: number, page: Page): Effect.Effect<ReadonlyArray<Moderator>, DbError>
    /** Adds a moderator, or replaces its permissions. */
    putModerator(
      stream: number,
      uid: string,
      permissions: ReadonlyArray<Permission>
    ): Effect.Effect<Moderator, DbError | TooManyModerators>
    /** False if there is none. */
    removeModerator(stream: number, uid: string): Effect.Effect<boolean, DbError>
    /** None if the user is neither banned nor timed out now. */
    ban(stream: number, uid: string): Effect.Effect<Option.Option<Ban>, DbError>
    /** Without those that have ended. */
    bans(stream: number, page: Page): Effect.Effect<ReadonlyArray<Ban>, DbError>
    /** Replaces the user's ban, if there is one. None if it may not. */
    putBan(ban: NewBan): Effect.Effect<Option.Option<Ban>, DbError>
    /** `kept`: it is for ever, and only timeouts may be ended. `none`: there is none. */
    removeBan(
      stream: number,
      uid: string,
      by: string,
      which: "any" | "timeouts"
    ): Effect.Effect<"removed" | "kept" | "none", DbError>
  }
>()("spillway/Chat/MemberRows") {
  static readonly layer = Layer.effect(
    MemberRows,
    Effect.suspend(() => make)
  )
}

const ModeratorRow = Schema.Struct({
  uid: Schema.String,
  permissions: Schema.Array(Permission),
  addedAt: Schema.Date
})
const decodeModerators = Schema.decodeUnknownEffect(Schema.Array(ModeratorRow))
const moderatorsOf = (rows: unknown) => Effect.catchTag(decodeModerators(rows), "SchemaError", Effect.die)

const BanRow = Schema.Struct({
  uid: Schema.String,
  until: Schema.NullOr(Schema.Date),
  reason: Schema.String,
  by: Schema.String,
  at: Schema.Date
})
const decodeBans = Schema.decodeUnknownEffect(Schema.Array(BanRow))
const bansOf = (rows: unknown): Effect.Effect<ReadonlyArray<Ban>> =>
  decodeBans(rows).pipe(
    Effect.map((rows) => rows.map(({ until, ...ban }) => ({ ...ban, until: until ?? undefined }))),
    Effect.catchTag("SchemaError", Effect.die)
  )

type Sql = SqlClient.SqlClient

const moderator = (sql: Sql) => sql`uid, permissions, added_at as "addedAt"`
const ban = (sql: Sql) => sql`uid, until, reason, banned_by as by, banned_at as at`
const isActive = (sql: Sql) => sql`coalesce(until > now(), true)`

/** Whether the user is banned for ever. The caller holds the lock of the room. */
const isBannedForEver = (sql: Sql, stream: number, uid: string) =>
  Effect.map(
    sql`select from chat_bans where stream_id = ${stream}::bigint and uid = ${uid} and until is null limit 1`,
    (rows) => rows.length > 0
  )

const make = Effect.gen(function* () {
  const db = yield* Db

  return MemberRows.of({
    moderator: Effect.fn("MemberRows.moderator")((stream, uid) =>
      db.read("MemberRows.moderator", (sql) =>
        sql`select ${moderator(sql)} from chat_moderators where stream_id = ${stream}::bigint and uid = ${uid} limit 1`.pipe(
          Effect.flatMap(moderatorsOf),
          Effect.map(([found]) => Option.fromUndefinedOr(found))
        )
      )
    ),
    moderators: Effect.fn("MemberRows.moderators")((stream, { after = "", limit }) =>
      db.read("MemberRows.moderators", (sql) =>
        Effect.flatMap(
          sql`
            select ${moderator(sql)} from chat_moderators
            where stream_id = ${stream}::bigint and uid > ${after} order by uid limit ${limit}`,
          moderatorsOf
        )
      )
    ),
    putModerator: Effect.fn("MemberRows.putModerator")((stream, uid, permissions) =>
      db.transactionIdempotent(
        "MemberRows.putModerator",
        Effect.fnUntraced(function* (sql) {
          yield* nextId(sql, stream)
          const [full] = yield* sql`
            select from chat_moderators where stream_id = ${stream}::bigint and uid <> ${uid}
            offset ${maxModerators - 1} limit 1`
          if (full !== undefined) return yield* new TooManyModerators()
          const rows = yield* sql`
            insert into chat_moderators (stream_id, uid, permissions)
            values (${stream}::bigint, ${uid}, ${permissions}::text[])
            on conflict (stream_id, uid) do update set permissions = excluded.permissions
            returning ${moderator(sql)}`
          const [added] = yield* moderatorsOf(rows)
          return yield* Effect.orDie(Effect.fromNullishOr(added))
        })
      )
    ),
    removeModerator: Effect.fn("MemberRows.removeModerator")((stream, uid) =>
      Effect.map(
        db.writeIdempotent(
          "MemberRows.removeModerator",
          (sql) => sql`delete from chat_moderators where stream_id = ${stream}::bigint and uid = ${uid} returning uid`
        ),
        (rows) => rows.length > 0
      )
    ),
    ban: Effect.fn("MemberRows.ban")((stream, uid) =>
      db.read("MemberRows.ban", (sql) =>
        sql`
          select ${ban(sql)} from chat_bans
          where stream_id = ${stream}::bigint and uid = ${uid} and ${isActive(sql)} limit 1`.pipe(
          Effect.flatMap(bansOf),
          Effect.map(([found]) => Option.fromUndefinedOr(found))
        )
      )
    ),
    bans: Effect.fn("MemberRows.bans")((stream, { after = "", limit }) =>
      db.read("MemberRows.bans", (sql) =>
        Effect.flatMap(
          sql`
            select ${ban(sql)} from chat_bans
            where stream_id = ${stream}::bigint and uid > ${after} and ${isActive(sql)} order by uid limit ${limit}`,
          bansOf
        )
      )
    ),
    putBan: Effect.fn("MemberRows.putBan")(({ by, reason, replacesBan, seconds, stream, uid }) =>
      db.transactionIdempotent(
        "MemberRows.putBan",
        Effect.fnUntraced(function* (sql) {
          const change = yield* nextId(sql, stream)
          if (!replacesBan && (yield* isBannedForEver(sql, stream, uid))) return Option.none()
          const rows = yield* sql`
            insert into chat_bans (stream_id, uid, until, reason, banned_by)
            values (${stream}::bigint, ${uid}, now() + make_interval(secs => ${seconds ?? null}::float8), ${reason}, ${by})
            on conflict (stream_id, uid) do update
            set until = excluded.until, reason = excluded.reason, banned_by = excluded.banned_by, banned_at = now()
            returning ${ban(sql)}`
          if (seconds === undefined)
            yield* sql`delete from chat_moderators where stream_id = ${stream}::bigint and uid = ${uid}`
          yield* sql`
            insert into chat_changes (stream_id, id, kind, uid, until, reason, changed_by)
            select stream_id, ${change}::bigint, 'ban', uid, until, reason, ${by} from chat_bans
            where stream_id = ${stream}::bigint and uid = ${uid}`
          yield* notify(sql, topic, stream)
          const [made] = yield* bansOf(rows)
          return Option.some(yield* Effect.orDie(Effect.fromNullishOr(made)))
        })
      )
    ),
    removeBan: Effect.fn("MemberRows.removeBan")((stream, uid, by, which) =>
      db.transactionIdempotent(
        "MemberRows.removeBan",
        Effect.fnUntraced(function* (sql) {
          const change = yield* nextId(sql, stream)
          if (which === "timeouts" && (yield* isBannedForEver(sql, stream, uid))) return "kept"
          const rows = yield* sql<{ readonly active: boolean }>`
            delete from chat_bans where stream_id = ${stream}::bigint and uid = ${uid} returning ${isActive(sql)} as active`
          if (rows[0]?.active !== true) return "none"
          yield* sql`
            insert into chat_changes (stream_id, id, kind, uid, changed_by)
            values (${stream}::bigint, ${change}::bigint, 'unban', ${uid}, ${by})`
          yield* notify(sql, topic, stream)
          return "removed"
        })
      )
    )
  })
})
