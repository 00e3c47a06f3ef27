/** Rows of streams. */
import { hash, randomBytes } from "node:crypto"
import { Context, Effect, Layer, Option, Redacted, Schema } from "effect"
import type { SqlClient, SqlError, Statement } from "effect/sql"
import type { Manager } from "../Auth.ts"
import { Db, type DbError, notify } from "../Db.ts"
import type { RangeRequest } from "../Http.ts"
import { BroadcastRows } from "./Broadcasts/BroadcastRows.ts"
import { type Fields, isSlug, type Stream, Visibility } from "./Stream.ts"

/** The topic of notifications about streams that were changed or removed. Their keys are ids. */
export const topic = "streams"

/** Streams of a user. One more is rejected. */
export const maxStreamsOfUser = 100

export class TooManyStreams extends Schema.TaggedError<TooManyStreams>()("TooManyStreams", { uid: Schema.String }) {
  override get message() {
    return `There are ${maxStreamsOfUser} streams. Delete one first.`
  }
}

export class SlugTaken extends Schema.TaggedError<SlugTaken>()("SlugTaken", { slug: Schema.String }) {
  override get message() {
    return `Another stream has the slug ${this.slug}.`
  }
}

/** The stream has another revision than the caller expects. */
export class StreamChanged extends Schema.TaggedError<StreamChanged>()("StreamChanged", {
  slug: Schema.String,
  revision: Schema.Int
}) {
  override get message() {
    return `The stream ${this.slug} has changed meanwhile: its ETag is "${this.revision}". Read it, and send the change again.`
  }
}

export interface NewStream {
  readonly stream: Stream
  readonly key: Redacted.Redacted
}

/** `broadcast`: the one that was ended. */
export interface EndedStream {
  readonly stream: Stream
  readonly broadcast: number | undefined
}

/** `keyHash`: base64. */
export interface KeyOwner {
  readonly stream: number
  readonly uid: string
  readonly keyHash: string
}

export class StreamRows extends Context.Service<
  StreamRows,
  {
    create(uid: string, fields: Fields): Effect.Effect<NewStream, DbError | SlugTaken | TooManyStreams>
    /** Newest first, those with an id less than `before`. */
    list(
      uid: string,
      page: { readonly before: number | undefined; readonly limit: number }
    ): Effect.Effect<ReadonlyArray<Stream>, DbError>
    /** None for a text that is no slug. */
    find(slug: string): Effect.Effect<Option.Option<Stream>, DbError>
    findById(id: number): Effect.Effect<Option.Option<Stream>, DbError>
    /** What `changes` leaves out is kept. None if the manager has no such stream. */
    update(
      by: Manager,
      slug: string,
      changes: Partial<Fields>,
      isExpected: RangeRequest.IsExpected
    ): Effect.Effect<Option.Option<Stream>, DbError | SlugTaken | StreamChanged>
    /** Gives up the slug and the key. None as in `update`. */
    remove(
      by: Manager,
      slug: string,
      isExpected: RangeRequest.IsExpected
    ): Effect.Effect<Option.Option<Stream>, DbError | StreamChanged>
    /** Ends the live broadcast, if there is one. None as in `update`. */
    end(by: Manager, slug: string): Effect.Effect<Option.Option<EndedStream>, DbError>
    /** A new key; the one before it is none any more. None as in `update`. */
    rotateKey(by: Manager, slug: string): Effect.Effect<Option.Option<NewStream>, DbError>
    /** The stream with this key. */
    findByKey(key: Redacted.Redacted): Effect.Effect<Option.Option<KeyOwner>, DbError>
  }
>()("spillway/Streams/StreamRows") {
  static readonly layer = Layer.effect(
    StreamRows,
    Effect.suspend(() => make)
  )
}

/** 256 random bits in base64url. Only the SHA-256 is stored. */
const makeKey = Effect.sync(() => Redacted.make(`spw_live_${randomBytes(32).toString("base64url")}`))

const hashOf = (key: Redacted.Redacted) => hash("sha256", Redacted.value(key), "buffer")

export const Row = Schema.Struct({
  id: Schema.Finite,
  uid: Schema.String,
  slug: Schema.String,
  title: Schema.String,
  description: Schema.String,
  visibility: Visibility,
  chatEnabled: Schema.Boolean,
  slowModeSeconds: Schema.Int,
  revision: Schema.Int,
  createdAt: Schema.Date,
  broadcast: Schema.NullOr(Schema.Finite),
  conversation: Schema.NullOr(Schema.String),
  startedAt: Schema.NullOr(Schema.Date),
  leftAt: Schema.NullOr(Schema.Date)
})
const decodeRows = Schema.decodeUnknownEffect(Schema.Array(Row))

export function streamOf({ broadcast, conversation, leftAt, startedAt, ...row }: typeof Row.Type): Stream {
  const isLive = broadcast !== null && conversation !== null && startedAt !== null
  return {
    ...row,
    live: isLive ? { id: broadcast, conversation, startedAt, leftAt: leftAt ?? undefined } : undefined
  }
}

type Sql = SqlClient.SqlClient

/** Of `tables`. */
export function columns(sql: Sql) {
  return sql`
    s.id::float8 as id, s.uid, slug, title, description, visibility, chat_enabled as "chatEnabled",
    slow_mode_seconds as "slowModeSeconds", revision, created_at as "createdAt", b.id::float8 as broadcast, b.conversation,
    b.started_at as "startedAt", b.left_at as "leftAt"`
}

/** `streams s` with `broadcasts b` that are live, looked up one by one: a join would read those of all streams. */
export function tables(sql: Sql) {
  return sql`
    streams s left join lateral (
      select id, conversation, started_at, left_at from broadcasts where stream_id = s.id and ended_at is null limit 1
    ) b on true`
}

const select = (sql: Sql, rest: Statement.Fragment) =>
  sql`
    select ${columns(sql)} from ${tables(sql)}
    where deleted_at is null and ${rest}`.pipe(
    Effect.flatMap(decodeRows),
    Effect.map((rows) => rows.map(streamOf)),
    Effect.catchTag("SchemaError", Effect.die)
  )

const bySlug = (sql: Sql, slug: string) =>
  Effect.map(select(sql, sql`slug = ${slug} limit 1`), ([stream]) => Option.fromUndefinedOr(stream))

const findById = (sql: Sql, id: number) =>
  Effect.map(select(sql, sql`s.id = ${String(id)}::bigint limit 1`), ([stream]) => Option.fromUndefinedOr(stream))

const byId = (sql: Sql, id: number) =>
  Effect.flatMap(findById(sql, id), (stream) => Effect.orDie(Effect.fromOption(stream)))

/** Of the statement that gives a stream its slug. */
const isTaken = ({ reason }: SqlError.SqlError) => reason._tag === "UniqueViolation"

const make = Effect.gen(function* () {
  const db = yield* Db
  const broadcasts = yield* BroadcastRows

  const lock = (sql: Sql, { isAdmin, uid }: Manager, slug: string) =>
    Effect.map(
      sql<{ readonly id: number; readonly revision: number }>`
        select id::float8 as id, revision from streams
        where slug = ${slug} and deleted_at is null and (uid = ${uid} or ${isAdmin}) for update`,
      ([row]) => row
    )

  const lockExpected = Effect.fnUntraced(function* (
    sql: Sql,
    by: Manager,
    slug: string,
    isExpected: RangeRequest.IsExpected
  ) {
    const row = yield* lock(sql, by, slug)
    if (row !== undefined && !isExpected(row.revision))
      return yield* new StreamChanged({ slug, revision: row.revision })
    return row?.id
  })

  return StreamRows.of({
    create: Effect.fn("StreamRows.create")(function* (uid, fields) {
      const key = yield* makeKey
      const hash = hashOf(key)
      const stream = yield* db.transactionIdempotent(
        "StreamRows.create",
        Effect.fnUntraced(function* (sql) {
          yield* sql`select pg_advisory_xact_lock(hashtextextended('streams of ' || ${uid}::text, 0))`
          const [full] = yield* sql`
            select from streams where uid = ${uid} and deleted_at is null offset ${maxStreamsOfUser - 1} limit 1`
          if (full !== undefined) return yield* new TooManyStreams({ uid })
          yield* sql`
            insert into streams (uid, slug, title, description, visibility, chat_enabled, slow_mode_seconds, key_hash)
            values (${uid}, ${fields.slug}, ${fields.title}, ${fields.description}, ${fields.visibility},
                    ${fields.chatEnabled}, ${fields.slowModeSeconds}, ${hash})
            on conflict do nothing`
          const found = yield* select(sql, sql`slug = ${fields.slug} and key_hash = ${hash} limit 1`)
          return found[0] ?? (yield* new SlugTaken({ slug: fields.slug }))
        })
      )
      return { stream, key }
    }),
    list: Effect.fn("StreamRows.list")((uid, { before, limit }) =>
      db.read("StreamRows.list", (sql) => {
        const older = before === undefined ? sql`` : sql`and s.id < ${String(before)}::bigint`
        return select(sql, sql`s.uid = ${uid} ${older} order by s.id desc limit ${limit}`)
      })
    ),
    find: Effect.fn("StreamRows.find")((slug) =>
      isSlug(slug) ? db.read("StreamRows.find", (sql) => bySlug(sql, slug)) : Effect.succeedNone
    ),
    findById: Effect.fn("StreamRows.findById")((id) => db.read("StreamRows.findById", (sql) => findById(sql, id))),
    update: Effect.fn("StreamRows.update")((by, slug, changes, isExpected) =>
      db.transaction(
        "StreamRows.update",
        Effect.fnUntraced(function* (sql) {
          const id = yield* lockExpected(sql, by, slug, isExpected)
          if (id === undefined) return Option.none()
          const next = changes.slug ?? slug
          yield* sql`
            update streams
            set slug = ${next}, title = coalesce(${changes.title ?? null}::text, title),
                description = coalesce(${changes.description ?? null}::text, description),
                visibility = coalesce(${changes.visibility ?? null}::text, visibility),
                chat_enabled = coalesce(${changes.chatEnabled ?? null}::boolean, chat_enabled),
                slow_mode_seconds = coalesce(${changes.slowModeSeconds ?? null}::int, slow_mode_seconds),
                revision = revision + 1
            where id = ${String(id)}::bigint`.pipe(Effect.catchIf(isTaken, () => new SlugTaken({ slug: next })))
          yield* notify(sql, topic, id)
          return Option.some(yield* byId(sql, id))
        })
      )
    ),
    remove: Effect.fn("StreamRows.remove")((by, slug, isExpected) =>
      db.transaction(
        "StreamRows.remove",
        Effect.fnUntraced(function* (sql) {
          const id = yield* lockExpected(sql, by, slug, isExpected)
          if (id === undefined) return Option.none()
          yield* broadcasts.stop(sql, id)
          const removed = yield* byId(sql, id)
          // A stream that was never live leaves nothing that refers to it.
          yield* sql`
            delete from streams where id = ${String(id)}::bigint
            and (select id from broadcasts where stream_id = ${String(id)}::bigint order by id limit 1) is null`
          yield* sql`update streams set deleted_at = now(), key_hash = null where id = ${String(id)}::bigint`
          yield* notify(sql, topic, id)
          return Option.some(removed)
        })
      )
    ),
    end: Effect.fn("StreamRows.end")((by, slug) =>
      db.transaction(
        "StreamRows.end",
        Effect.fnUntraced(function* (sql) {
          const id = (yield* lock(sql, by, slug))?.id
          if (id === undefined) return Option.none()
          const broadcast = yield* broadcasts.stop(sql, id)
          if (broadcast !== undefined) yield* notify(sql, topic, id)
          return Option.some({ stream: yield* byId(sql, id), broadcast })
        })
      )
    ),
    rotateKey: Effect.fn("StreamRows.rotateKey")(function* (by, slug) {
      const key = yield* makeKey
      return yield* db.transactionIdempotent(
        "StreamRows.rotateKey",
        Effect.fnUntraced(function* (sql) {
          const id = (yield* lock(sql, by, slug))?.id
          if (id === undefined) return Option.none()
          yield* sql`update streams set key_hash = ${hashOf(key)} where id = ${String(id)}::bigint`
          yield* broadcasts.detach(sql, id)
          yield* notify(sql, topic, id)
          return Option.some({ stream: yield* byId(sql, id), key })
        })
      )
    }),
    findByKey: Effect.fn("StreamRows.findByKey")((key) => {
      const keyHash = hashOf(key)
      return Effect.map(
        db.read(
          "StreamRows.findByKey",
          (sql) => sql<{ readonly stream: number; readonly uid: string }>`
            select id::float8 as stream, uid from streams where key_hash = ${keyHash} and deleted_at is null limit 1`
        ),
        ([row]) => Option.map(Option.fromUndefinedOr(row), (row) => ({ ...row, keyHash: keyHash.toString("base64") }))
      )
    })
  })
})
