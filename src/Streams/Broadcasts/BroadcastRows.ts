/**
 * Rows of broadcasts. The capture that entered last feeds the broadcast of its stream, and its node says so every few seconds. A
 * broadcast that none has fed for the grace has ended. Starts and ends hold the lock of the stream's row, so that each happens once.
 */
import { Context, Effect, Layer, Option, Schema } from "effect"
import type { SqlClient, SqlError, Statement } from "effect/sql"
import { Db, type DbError, intervalOf } from "../../Db.ts"
import { Events } from "../../Events.ts"
import { Finalization } from "../../Finalization.ts"
import { Fence } from "../../Recording.ts"
import { StreamsConfig } from "../StreamsConfig.ts"
import * as BroadcastEvents from "./BroadcastEvents.ts"

/** Broadcasts that one sweep ends; the next one ends the rest. */
const swept = 50

/** A capture that feeds a stream, and which audio. */
export interface Entry {
  readonly stream: number
  readonly keyHash: string
  /** A UUID of the capture. */
  readonly capture: string
  /** None: that of the live broadcast, or `proposed`. */
  readonly conversation: string | undefined
  readonly proposed: string
  /** Milliseconds since its first audio. */
  readonly age: number
}

export interface Entered {
  readonly broadcast: number
  readonly conversation: string
}

export interface Heartbeat extends Entered {
  readonly stream: number
  readonly capture: string
  /** Unix second at which the durable audio of the conversation ends, as far as the node knows; none without audio. */
  readonly audioEnd: number | undefined
}

export type AudioEnd = Pick<Heartbeat, "stream" | "broadcast" | "audioEnd">

/**
 * Why a capture feeds its broadcast no more: that `ended` without it, its owner `stopped` it, another capture `replaced` it, or its
 * stream key was `revoked`.
 */
const Loss = Schema.Literals(["ended", "stopped", "replaced", "revoked"])
export type Loss = typeof Loss.Type

const decodeLosses = Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ capture: Schema.String, loss: Loss })))

export class BroadcastRows extends Context.Service<
  BroadcastRows,
  {
    /**
     * The capture feeds the stream from now on, in place of another one. Another conversation than that of the live broadcast
     * ends it and starts the next one. None if the stream key is not valid any more.
     */
    enter(entry: Entry): Effect.Effect<Option.Option<Entered>, DbError>
    /** The hashes of those keys that are not valid. */
    revoked(keys: ReadonlyArray<Pick<Entry, "stream" | "keyHash">>): Effect.Effect<ReadonlySet<string>, DbError>
    /** Says that the captures feed their broadcasts. Returns why others have lost theirs, by capture. */
    heartbeat(heartbeats: ReadonlyArray<Heartbeat>): Effect.Effect<ReadonlyMap<string, Loss>, DbError>
    /** Says where the audio of broadcasts ends, also when they have ended. At most one end of each. */
    writeAudioEnds(ends: ReadonlyArray<AudioEnd>): Effect.Effect<void, DbError>
    /** The capture has ended. A broadcast that it feeds waits for another one. */
    leave(heartbeat: Heartbeat): Effect.Effect<void, DbError>
    /** Ends broadcasts that nothing feeds, a bounded number; returns how many. */
    readonly sweep: Effect.Effect<number, DbError>
    /**
     * Ends the live broadcast of a stream whose row the caller has locked, and returns its number. Its capture finds that the owner
     * has stopped it. Part of a transaction.
     */
    stop(sql: SqlClient.SqlClient, stream: number): Effect.Effect<number | undefined, SqlError.SqlError | DbError>
    /** The capture of a stream whose row the caller has locked feeds it no more. Part of a transaction. */
    detach(sql: SqlClient.SqlClient, stream: number): Effect.Effect<void, SqlError.SqlError>
  }
>()("spillway/Streams/Broadcasts/BroadcastRows") {
  static readonly layer = Layer.effect(
    BroadcastRows,
    Effect.suspend(() => make)
  )
}

const Live = Schema.Struct({
  id: Schema.Finite,
  conversation: Schema.String,
  capture: Schema.NullOr(Schema.String),
  isOver: Schema.Boolean
})
const decodeLive = Schema.decodeUnknownEffect(Schema.Array(Live))

const Locked = Schema.Struct({ uid: Schema.String, slug: Schema.String, title: Schema.String })
const decodeLocked = Schema.decodeUnknownEffect(Schema.Array(Locked))

const Started = Schema.Struct({ id: Schema.Finite, startedAt: Schema.Date })
const decodeStarted = Schema.decodeUnknownEffect(Schema.Tuple([Started]))

const Ended = Schema.Struct({
  id: Schema.Finite,
  uid: Schema.String,
  conversation: Schema.String,
  startedAt: Schema.Date,
  endedAt: Schema.Date,
  slug: Schema.String,
  title: Schema.String
})
const decodeEnded = Schema.decodeUnknownEffect(Schema.Array(Ended))

type Sql = SqlClient.SqlClient

const key = (id: number) => String(id)

const setAudioEnds = (sql: Sql, ends: ReadonlyArray<AudioEnd>) => {
  const given = ends.map(({ audioEnd, broadcast, stream }) => ({ stream, broadcast, audioEnd }))
  return sql`
    with given as materialized (
      select g.* from json_to_recordset(${JSON.stringify(given)}::json)
        as g(stream bigint, broadcast bigint, "audioEnd" float8) order by g.stream, g.broadcast
    )
    update broadcasts b set audio_end = g."audioEnd" from given g
    where b.stream_id = g.stream and b.id = g.broadcast and g."audioEnd" > coalesce(b.audio_end, '-infinity')`
}

const make = Effect.gen(function* () {
  const db = yield* Db
  const events = yield* Events
  const finalization = yield* Finalization
  const { grace } = yield* StreamsConfig

  const isLate = (sql: Sql) => sql`seen_at < now() - ${intervalOf(grace)}::interval`

  const lock = (sql: Sql, stream: number, rest: Statement.Fragment) =>
    sql`select uid, slug, title from streams where id = ${key(stream)}::bigint and ${rest}`.pipe(
      Effect.flatMap(decodeLocked),
      Effect.map(([row]) => row),
      Effect.catchTag("SchemaError", Effect.die)
    )

  const end = Effect.fnUntraced(function* (
    sql: Sql,
    stream: number,
    change: Statement.Fragment,
    rest: Statement.Fragment
  ) {
    const ended = yield* sql`
      update broadcasts b set ${change}
      from streams s where b.stream_id = ${key(stream)}::bigint and s.id = b.stream_id and ended_at is null and ${rest}
      returning b.id::float8 as id, b.uid, conversation, started_at as "startedAt", ended_at as "endedAt", slug, title`.pipe(
      Effect.flatMap(decodeEnded),
      Effect.catchTag("SchemaError", Effect.die)
    )
    for (const row of ended) {
      const { conversation, id, uid } = row
      yield* events.append(sql, [yield* BroadcastEvents.ended(row)])
      yield* finalization.request({ uid, conversation, job: `broadcast-${stream}-${id}`, generation: 0 })
    }
    return ended.map(({ id }) => id)
  })

  const asLeft = (sql: Sql) => sql`ended_at = coalesce(left_at, seen_at), capture = null`

  /** Keeps the capture, which finds by it that it was stopped. */
  const asStopped = (sql: Sql) => sql`ended_at = coalesce(left_at, now())`

  const start = Effect.fnUntraced(function* (
    sql: Sql,
    { age, capture, stream }: Entry,
    conversation: string,
    row: typeof Locked.Type
  ) {
    // The purge of a deleted VOD with this conversation sees the broadcast, or has begun before.
    yield* Fence.lockCreation(sql, row.uid)
    const [{ id, startedAt }] = yield* sql`
      insert into broadcasts (stream_id, id, uid, conversation, capture, started_at)
      values (
        ${key(stream)}::bigint,
        coalesce((select id from broadcasts where stream_id = ${key(stream)}::bigint order by id desc limit 1), 0) + 1,
        ${row.uid}, ${conversation}, ${capture}::uuid, now() - ${`${Math.round(age)} milliseconds`}::interval
      ) returning id::float8 as id, started_at as "startedAt"`.pipe(
      Effect.flatMap(decodeStarted),
      Effect.catchTag("SchemaError", Effect.die)
    )
    yield* events.append(sql, [yield* BroadcastEvents.started({ ...row, id, conversation, startedAt })])
    return id
  })

  const endLate = (stream: number) =>
    db.transactionIdempotent(
      "BroadcastRows.end",
      Effect.fnUntraced(function* (sql) {
        // Another node ends it, or a capture enters it.
        if ((yield* lock(sql, stream, sql`true for update skip locked`)) === undefined) return 0
        // Found by its stream: by the time, the planner would read all that are late.
        const ended = yield* end(sql, stream, asLeft(sql), sql`(${isLate(sql)}) is true`)
        return ended.length
      })
    )

  return BroadcastRows.of({
    enter: Effect.fn("BroadcastRows.enter")((entry) =>
      db.transactionIdempotent(
        "BroadcastRows.enter",
        Effect.fnUntraced(function* (sql) {
          const { capture, keyHash, proposed, stream } = entry
          const isValid = sql`key_hash = decode(${keyHash}, 'base64') and deleted_at is null for update`
          const row = yield* lock(sql, stream, isValid)
          if (row === undefined) return Option.none()
          const [live] = yield* sql`
            select id::float8 as id, conversation, capture::text as capture, ${isLate(sql)} as "isOver"
            from broadcasts where stream_id = ${key(stream)}::bigint and ended_at is null limit 1`.pipe(
            Effect.flatMap(decodeLive),
            Effect.catchTag("SchemaError", Effect.die)
          )
          // While the database is away, the capture that feeds the broadcast can't say so.
          const isResumed =
            live !== undefined &&
            (!live.isOver || live.capture === capture) &&
            (entry.conversation ?? live.conversation) === live.conversation
          if (isResumed) {
            yield* sql`
              update broadcasts set capture = ${capture}::uuid, left_at = null, seen_at = now()
              where stream_id = ${key(stream)}::bigint and id = ${key(live.id)}::bigint`
            return Option.some({ broadcast: live.id, conversation: live.conversation })
          }
          yield* end(sql, stream, asLeft(sql), sql`true`)
          const conversation = entry.conversation ?? proposed
          return Option.some({ broadcast: yield* start(sql, entry, conversation, row), conversation })
        })
      )
    ),
    revoked: Effect.fn("BroadcastRows.revoked")((keys) =>
      Effect.map(
        db.read(
          "BroadcastRows.revoked",
          (sql) => sql<{ readonly keyHash: string }>`
            select g."keyHash" from json_to_recordset(${JSON.stringify(keys)}::json) as g(stream bigint, "keyHash" text)
            where not exists (
              select from streams
              where id = g.stream and key_hash = decode(g."keyHash", 'base64') and deleted_at is null
            ) limit ${keys.length}`
        ),
        (rows) => new Set(rows.map(({ keyHash }) => keyHash))
      )
    ),
    heartbeat: Effect.fn("BroadcastRows.heartbeat")(function* (heartbeats) {
      const given = heartbeats.map(({ audioEnd, broadcast, capture, stream }) => ({
        stream,
        broadcast,
        capture,
        audioEnd
      }))
      // A change that the update has waited for is not in the snapshot of the query: the next heartbeat sees it.
      const losses = yield* db.writeIdempotent("BroadcastRows.heartbeat", (sql) =>
        sql`
          with given as materialized (
            select g.* from json_to_recordset(${JSON.stringify(given)}::json)
              as g(stream bigint, broadcast bigint, capture uuid, "audioEnd" float8) order by g.stream, g.broadcast
          ), fed as (
            update broadcasts b
            set seen_at = now(), left_at = null, audio_end = greatest(b.audio_end, g."audioEnd") from given g
            where b.stream_id = g.stream and b.id = g.broadcast and b.capture = g.capture and b.ended_at is null
            returning b.capture
          )
          select g.capture::text as capture, case
            when b.ended_at is not null and b.capture = g.capture then 'stopped'
            when b.ended_at is not null and not exists (
              select from broadcasts n
              where n.stream_id = g.stream and n.ended_at is null and n.capture is distinct from g.capture
            ) then 'ended'
            when b.ended_at is null and b.capture is null then 'revoked'
            else 'replaced'
          end as loss
          from given g left join broadcasts b on b.stream_id = g.stream and b.id = g.broadcast
          where g.capture not in (select capture from fed) and (b.ended_at is not null or b.capture is distinct from g.capture)
          limit ${heartbeats.length}`.pipe(Effect.flatMap(decodeLosses), Effect.catchTag("SchemaError", Effect.die))
      )
      return new Map(losses.map(({ capture, loss }) => [capture, loss]))
    }),
    writeAudioEnds: Effect.fn("BroadcastRows.writeAudioEnds")((ends) =>
      Effect.asVoid(db.writeIdempotent("BroadcastRows.writeAudioEnds", (sql) => setAudioEnds(sql, ends)))
    ),
    leave: Effect.fn("BroadcastRows.leave")((heartbeat) =>
      db.transactionIdempotent("BroadcastRows.leave", (sql) => {
        const { broadcast, capture, stream } = heartbeat
        const setLeft = sql`
          update broadcasts set capture = null, left_at = now(), seen_at = now()
          where stream_id = ${key(stream)}::bigint and id = ${key(broadcast)}::bigint and capture = ${capture}::uuid
            and ended_at is null`
        // Also when it feeds the broadcast no more: its last audio is part of it.
        return Effect.asVoid(Effect.andThen(setAudioEnds(sql, [heartbeat]), setLeft))
      })
    ),
    sweep: Effect.gen(function* () {
      const due = yield* db.read(
        "BroadcastRows.due",
        (sql) => sql<{ readonly stream: number }>`
          select stream_id::float8 as stream from broadcasts
          where ended_at is null and ${isLate(sql)} order by seen_at limit ${swept}`
      )
      const counts = yield* Effect.forEach(due, ({ stream }) =>
        // A stream with a defect keeps no other one, although it stays the first.
        Effect.catchDefect(endLate(stream), (defect) =>
          Effect.as(Effect.logError("a broadcast could not be ended and is tried again", defect), 0)
        )
      )
      return counts.reduce((sum, count) => sum + count, 0)
    }),
    stop: (sql, stream) => Effect.map(end(sql, stream, asStopped(sql), sql`true`), ([id]) => id),
    detach: (sql, stream) =>
      Effect.asVoid(sql`
        update broadcasts set capture = null, left_at = now(), seen_at = now()
        where stream_id = ${key(stream)}::bigint and ended_at is null`)
  })
})
