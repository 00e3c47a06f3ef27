/** Rows of transcripts. A segment that is received again replaces itself. */
import { Clock, Context, Effect, Layer, Option, Schema } from "effect"
import { type SqlClient, SqlSchema, type Statement } from "effect/sql"
import { Db, type DbError } from "../Db.ts"
import { type DecryptionFailed, Protection } from "../Encryption.ts"
import { Events } from "../Events.ts"
import type * as Pusher from "../Pusher.ts"
import { ConversationEvents, Fence } from "../Recording.ts"
import * as TranscriptEvents from "./TranscriptEvents.ts"

/** Segments of a conversation. At the bound, known segments change, and new ones are rejected. */
export const maxSegments = 100_000

interface Name {
  readonly uid: string
  readonly conversation: string
}

export interface StoredSegment extends Pusher.Segment {
  /** Position in the order of changes of the conversation. */
  readonly revision: number
}

/** Position of a segment in the order of a transcript. */
export interface Place extends Pick<Pusher.Segment, "start" | "id"> {}

/** Segments of one `write`. `deleted`: their conversation was deleted after they were received. */
export interface Written {
  readonly changed: number
  readonly deleted: number
  readonly full: number
}

export class SegmentRows extends Context.Service<
  SegmentRows,
  {
    /** Durable when it returns. Creates conversations that are not known yet. Repeating it changes nothing. */
    write(messages: ReadonlyArray<Pusher.LiveTranscript>): Effect.Effect<Written, DbError>
    /** The revision of the latest change, 0 without one. None if the database has no such conversation. */
    revision(name: Name): Effect.Effect<Option.Option<number>, DbError>
    /** By start and id: those with a start of at least `from`, and after `after`. */
    page(
      name: Name,
      page: { readonly from: number; readonly after: Place | undefined; readonly limit: number }
    ): Effect.Effect<ReadonlyArray<StoredSegment>, DbError | DecryptionFailed>
    /** Those of the ids that are stored, by start. */
    find(
      name: Name,
      ids: ReadonlyArray<string>
    ): Effect.Effect<ReadonlyArray<StoredSegment>, DbError | DecryptionFailed>
    /** Those that changed after `since`, by revision. */
    changes(
      name: Name,
      page: { readonly since: number; readonly limit: number }
    ): Effect.Effect<ReadonlyArray<StoredSegment>, DbError | DecryptionFailed>
  }
>()("spillway/Transcripts/SegmentRows") {
  static readonly layer = Layer.effect(
    SegmentRows,
    Effect.suspend(() => make)
  ).pipe(Layer.provide(Events.layer))
}

const Row = Schema.Struct({
  id: Schema.String,
  start: Schema.Finite,
  revision: Schema.Finite,
  segment: Schema.NullOr(Schema.String),
  sealed: Schema.NullOr(Schema.Uint8Array)
})

const decodeHeads = Schema.decodeUnknownEffect(
  Schema.Array(
    Schema.Struct({
      uid: Schema.String,
      conversation: Schema.String,
      revision: Schema.Finite,
      segments: Schema.Int
    })
  )
)
const Place = Schema.Struct({ uid: Schema.String, conversation: Schema.String, id: Schema.String })
const decodeWritten = Schema.decodeUnknownEffect(
  Schema.Tuple([
    Schema.Struct({
      changed: Schema.Int,
      deleted: Schema.Int,
      full: Schema.Int,
      /** Null if nothing has changed, or without a subscription. */
      places: Schema.NullOr(Schema.Array(Place))
    })
  ])
)

type Sql = SqlClient.SqlClient

const keyOf = ({ conversation, uid }: Name) => `${uid} ${conversation}`

interface Given extends Pusher.Segment, Name {
  readonly receivedAt: number
}

interface Body {
  /** JSON, or its ciphertext in base64. */
  readonly body: string
  readonly is_sealed: boolean
}

interface Touched extends Name {
  count: number
  receivedAt: number
}

/** The last version of each segment, in the order in which they were received. */
const latestOf = (messages: ReadonlyArray<Pusher.LiveTranscript>): ReadonlyArray<Given> => {
  const latest = new Map<string, Given>()
  for (const { conversation, receivedAt, segments, uid } of messages) {
    for (const segment of segments) {
      const key = `${uid} ${conversation} ${segment.id}`
      latest.delete(key)
      latest.set(key, { ...segment, uid, conversation, receivedAt })
    }
  }
  return [...latest.values()]
}

const touchedBy = (given: ReadonlyArray<Given>): ReadonlyMap<string, Touched> => {
  const touched = new Map<string, Touched>()
  for (const segment of given) {
    const known = touched.get(keyOf(segment))
    const count = (known?.count ?? 0) + 1
    const receivedAt = Math.max(known?.receivedAt ?? 0, segment.receivedAt)
    touched.set(keyOf(segment), { uid: segment.uid, conversation: segment.conversation, count, receivedAt })
  }
  return touched
}

/** Whether the row `r` was received before a purge of its conversation ended. Its age does not depend on a clock of the node. */
const isPurged = (sql: Sql) =>
  Fence.isPurged(sql, { uid: sql`r.uid`, conversation: sql`r.conversation` }, sql`(${Fence.now(sql)} - r.age)`)

const columns = (sql: Sql) => sql`id, start_at as start, revision::float8 as revision, segment, sealed`

const make = Effect.gen(function* () {
  const db = yield* Db
  const events = yield* Events
  const protection = yield* Protection
  const clock = yield* Clock.Clock

  /** As the settings of the segments' users say. */
  const bodiesOf = Effect.fnUntraced(function* (given: ReadonlyArray<Given>) {
    const levels = yield* protection.levelsOf([...new Set(given.map(({ uid }) => uid))])
    return yield* Effect.forEach(given, ({ json, uid }): Effect.Effect<Body, DbError> =>
      levels.get(uid) === "enhanced"
        ? Effect.map(protection.encrypt(uid, Buffer.from(json)), (sealed) => ({
            body: Buffer.from(sealed).toString("base64"),
            is_sealed: true
          }))
        : Effect.succeed({ body: json, is_sealed: false })
    )
  })

  /** Creates what is missing, and locks the transcripts until the transaction ends. Those of purged conversations are left out. */
  const lock = Effect.fnUntraced(function* (sql: Sql, touched: ReadonlyArray<Touched>, now: number) {
    const json = JSON.stringify(touched.map(({ receivedAt, ...each }) => ({ ...each, age: now - receivedAt })))
    const rows = sql`json_to_recordset(${json}::json) as r(uid text, conversation text, count bigint, age float8)`
    yield* Fence.lockCreations(
      sql,
      touched.map(({ uid }) => uid)
    )
    const created = yield* sql<Name>`
      insert into conversations (uid, id)
      select r.uid, r.conversation from ${rows} where not ${isPurged(sql)} order by r.uid, r.conversation
      on conflict (uid, id) do nothing returning uid, id as conversation`
    yield* events.append(sql, yield* Effect.forEach(created, ConversationEvents.created))
    return yield* sql`
      insert into transcripts (uid, conversation_id, revision)
      select r.uid, r.conversation, r.count from ${rows}
      join conversations v on v.uid = r.uid and v.id = r.conversation
      where not ${isPurged(sql)} order by r.uid, r.conversation
      on conflict (uid, conversation_id) do update set revision = transcripts.revision + excluded.revision
      returning uid, conversation_id as conversation, revision::float8 as revision, segments`.pipe(
      Effect.flatMap(decodeHeads),
      Effect.catchTag("SchemaError", Effect.die)
    )
  })

  /** Returns the segments that have changed if `isReported`. */
  const put = (sql: Sql, rows: ReadonlyArray<object>, isReported: boolean) =>
    sql`
      with given as materialized (
        select r.*, ${isPurged(sql)} as is_purged, r.is_full and (
          select true from transcript_segments k
          where k.uid = r.uid and k.conversation_id = r.conversation and k.id = r.id limit 1
        ) is null as is_over
        from json_to_recordset(${JSON.stringify(rows)}::json)
          as r(uid text, conversation text, start float8, id text, revision bigint, body text, is_sealed boolean, is_full boolean, age float8)
      ), written as (
        insert into transcript_segments as s (uid, conversation_id, start_at, id, revision, segment, sealed)
        select uid, conversation, start, id, revision,
               case when not is_sealed then body end, case when is_sealed then decode(body, 'base64') end
        from given where not is_purged and not is_over order by uid, conversation, id
        on conflict (uid, conversation_id, id) do update
        set start_at = excluded.start_at, revision = excluded.revision, segment = excluded.segment, sealed = excluded.sealed
        where (s.segment, s.sealed) is distinct from (excluded.segment, excluded.sealed)
        returning uid, conversation_id, id, xmax = 0 as is_new
      ), counted as (
        update transcripts t set segments = t.segments + n.added
        from (
          select uid, conversation_id, count(*)::int as added from written where is_new group by uid, conversation_id
        ) as n
        where t.uid = n.uid and t.conversation_id = n.conversation_id
      )
      select (select count(*)::int from written) as changed, count(*) filter (where is_purged)::int as deleted,
             count(*) filter (where is_over and not is_purged)::int as full,
             (
               select json_agg(json_build_object('uid', uid, 'conversation', conversation_id, 'id', id))
               from written where ${isReported}
             ) as places
      from given`.pipe(Effect.flatMap(decodeWritten), Effect.catchTag("SchemaError", Effect.die))

  const opened = Effect.fnUntraced(function* (uid: string, { segment, sealed, ...row }: typeof Row.Type) {
    const json = sealed === null ? (segment ?? "{}") : Buffer.from(yield* protection.decrypt(uid, sealed)).toString()
    return { ...row, json }
  })

  const read = (operation: string, { conversation, uid }: Name, rest: (sql: Sql) => Statement.Fragment) =>
    db
      .read(operation, (sql) =>
        SqlSchema.findAll({
          Request: Schema.String,
          Result: Row,
          execute: (id) => sql`
            select ${columns(sql)} from transcript_segments s where uid = ${uid} and conversation_id = ${id} ${rest(sql)}`
        })(conversation)
      )
      .pipe(
        Effect.catchTag("SchemaError", Effect.die),
        Effect.flatMap((rows) => Effect.forEach(rows, (row) => opened(uid, row)))
      )

  return SegmentRows.of({
    write: Effect.fn("SegmentRows.write")(function* (messages) {
      const given = latestOf(messages)
      const touched = touchedBy(given)
      const bodies = yield* bodiesOf(given)
      return yield* db.transactionIdempotent(
        "SegmentRows.write",
        Effect.fnUntraced(function* (sql) {
          const now = Number(clock.monotonicTimeNanosUnsafe()) / 1e6
          const heads = new Map((yield* lock(sql, [...touched.values()], now)).map((head) => [keyOf(head), head]))
          const last = new Map([...heads].map(([key, head]) => [key, head.revision - (touched.get(key)?.count ?? 0)]))
          const rows = given.flatMap(({ json: _json, receivedAt, ...segment }, index) => {
            const key = keyOf(segment)
            const head = heads.get(key)
            if (head === undefined) return []
            const revision = (last.get(key) ?? 0) + 1
            last.set(key, revision)
            const isFull = head.segments >= maxSegments
            return [{ ...segment, revision, ...bodies[index], is_full: isFull, age: now - receivedAt }]
          })
          const lost = given.length - rows.length
          if (rows.length === 0) return { changed: 0, deleted: lost, full: 0 }
          const uids = [...touched.values()].map(({ uid }) => uid)
          const subscribed = yield* events.subscribed(sql, TranscriptEvents.segmentsType.name, uids)
          const [{ places, ...written }] = yield* put(sql, rows, subscribed.size > 0)
          const reported = (places ?? []).filter(({ uid }) => subscribed.has(uid))
          const isSealed = (uid: string) =>
            bodies.some(({ is_sealed }, index) => is_sealed && given[index]?.uid === uid)
          yield* events.append(sql, yield* TranscriptEvents.segments(protection, { given, places: reported, isSealed }))
          return { ...written, deleted: written.deleted + lost }
        })
      )
    }),
    revision: ({ conversation, uid }) =>
      db
        .read("SegmentRows.revision", (sql) =>
          SqlSchema.findOneOption({
            Request: Schema.String,
            Result: Schema.Struct({ revision: Schema.Finite }),
            execute: (id) => sql`
              select coalesce(t.revision, 0)::float8 as revision
              from conversations v left join transcripts t on t.uid = v.uid and t.conversation_id = v.id
              where v.uid = ${uid} and v.id = ${id}`
          })(conversation)
        )
        .pipe(Effect.catchTag("SchemaError", Effect.die), Effect.map(Option.map(({ revision }) => revision))),
    page: (name, { after, from, limit }) =>
      read("SegmentRows.page", name, (sql) => {
        const later =
          after === undefined ? sql`` : sql`and (start_at, id) > (${String(after.start)}::float8, ${after.id})`
        return sql`and start_at >= ${String(from)}::float8 ${later} order by start_at, id limit ${limit}`
      }),
    find: (name, ids) =>
      read(
        "SegmentRows.find",
        name,
        (sql) => sql`and id = any(${ids}::text[]) order by start_at, id limit ${ids.length}`
      ),
    changes: (name, { limit, since }) =>
      read(
        "SegmentRows.changes",
        name,
        (sql) => sql`and s.revision > ${String(since)}::bigint order by s.revision limit ${limit}`
      )
  })
})
