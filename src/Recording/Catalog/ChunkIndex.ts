/**
 * Inserts chunks into the index of their conversation. An append reads the previous row and changes one row of each table;
 * otherwise the following rows are laid out again until one stays unchanged.
 */
import { Context, Effect, Layer } from "effect"
import type { SqlClient, Statement } from "effect/sql"
import { Span, Timeline } from "../../Audio.ts"
import { Db, type DbError } from "../../Db.ts"
import { Events } from "../../Events.ts"
import * as ConversationEvents from "../ConversationEvents.ts"
import * as Fence from "../Purge/Fence.ts"
import { type Bounds, computeChanges, type FileChange, type IndexChange } from "./IndexChange.ts"
import * as IndexRows from "./IndexRows.ts"
import type { Change } from "./LayoutMerge.ts"
import { hoursOf } from "./WaveformHours.ts"
import type { ChunkState } from "../Chunk.ts"

type Sql = SqlClient.SqlClient
type Name = IndexRows.Name

export interface NewChunk {
  readonly id: string
  readonly start: number
  readonly samples: number
  readonly sampleRate: number
  readonly codec: Span.Codec
  readonly state: ChunkState
  readonly key: string
  readonly object?: { readonly bytes: number; readonly crc32c: number } | undefined
  /** See `ClockShifts`; default none. */
  readonly clockShifts?: ReadonlyArray<number>
  readonly peaks?: Uint8Array | null
  readonly sealedPeaks?: Uint8Array | null
}

export interface InsertOptions {
  /** See `Fence`; default 0, before every purge. */
  readonly knownAt?: number
  /** Unix seconds; the earlier of this and the conversation's own is kept. */
  readonly createdAt?: number
}

export class ChunkIndex extends Context.Service<
  ChunkIndex,
  {
    /**
     * Creates the conversation's row if it is missing; returns the number of new rows. An existing row is kept unless it is
     * lost and the new chunk is stored. Inserts nothing of a purged conversation.
     */
    insert(
      name: Name,
      additions: ReadonlyArray<NewChunk>,
      options?: InsertOptions
    ): Effect.Effect<number, DbError | Fence.Purged>
  }
>()("spillway/Recording/Catalog/ChunkIndex") {
  static readonly layerWith = (bounds: Bounds) =>
    Layer.effect(
      ChunkIndex,
      Effect.suspend(() => make(bounds))
    ).pipe(Layer.provide(Events.layer))
  static readonly layer = this.layerWith({
    gapSeconds: Timeline.fileGapSeconds,
    firstPage: 16,
    nextPage: 1_000,
    most: Infinity
  })
}

/** A stored chunk replaces a lost one. */
const replaces = (added: { readonly state: string }, row: { readonly state: string }): boolean =>
  added.state !== "lost" && row.state === "lost"

/** The day of a time in UTC, today at the latest. */
const dayOf = (sql: Sql, at: Statement.Fragment) => sql`(least(now(), ${at}) at time zone 'UTC')::date`

/**
 * Creates the conversation's row if it is missing, and locks it. A purge that starts after the check of the locked row waits
 * for this transaction when it deletes the row.
 */
const lock = Effect.fnUntraced(function* (
  sql: Sql,
  events: Events["Service"],
  name: Name,
  { createdAt, knownAt = 0 }: InsertOptions
) {
  const { conversation, uid } = name
  const locked = sql<{ readonly purged: boolean }>`
    select ${Fence.isPurged(sql, name, knownAt)} as purged from conversations
    where uid = ${uid} and id = ${conversation} for no key update`
  const known = createdAt === undefined ? yield* locked : []
  if (known[0] !== undefined) return known[0].purged
  yield* Fence.lockCreation(sql, uid)
  const began = createdAt === undefined ? sql`now()` : sql`to_timestamp(${String(createdAt)}::float8)`
  const [written] = yield* sql<{ readonly isNew: boolean }>`
    insert into conversations (uid, id, created_at, ended_on)
    values (${uid}, ${conversation}, ${began}, ${dayOf(sql, began)})
    on conflict (uid, id) do update set created_at = excluded.created_at
    where excluded.created_at < conversations.created_at and ${createdAt !== undefined}
    returning xmax = 0 as "isNew"`
  if (written?.isNew === true && createdAt === undefined)
    yield* events.append(sql, [yield* ConversationEvents.created(name)])
  return (yield* locked)[0]?.purged ?? false
})

const distinct = (additions: ReadonlyArray<NewChunk>): ReadonlyArray<NewChunk> => {
  const byKey = new Map<string, NewChunk>()
  for (const addition of additions) {
    const key = `${addition.start} ${addition.id}`
    const known = byKey.get(key)
    if (known === undefined || replaces(addition, known)) byKey.set(key, addition)
  }
  return [...byKey.values()].sort(Timeline.order)
}

/** JSON has no infinite numbers. */
const finite = (number: number): number | null => (Number.isFinite(number) ? number : null)
const hexOf = (bytes: Uint8Array | null | undefined): string | null =>
  bytes === null || bytes === undefined ? null : Buffer.from(bytes).toString("hex")

const shiftsOf = ({ clockShifts = [] }: NewChunk) => clockShifts

const chunkRecord = ({ chunk, isAdded, placement }: Change<NewChunk>) => {
  const { at, begins, heard, lost, skip, state } = placement
  return {
    start_at: chunk.start,
    id: chunk.id,
    added: isAdded,
    begins,
    at,
    skip,
    heard,
    lost_samples: lost,
    heard_end: state.heard,
    end_at: state.end,
    pending: state.pending.length > 0 ? JSON.stringify(state.pending) : null,
    ...(isAdded
      ? {
          samples: chunk.samples,
          sample_rate: chunk.sampleRate,
          codec: chunk.codec,
          object_key: chunk.object === undefined ? null : chunk.key,
          bytes: chunk.object?.bytes ?? 0,
          crc32c: chunk.object?.crc32c ?? null,
          lost: chunk.state === "lost",
          clock_shift: Math.max(0, ...shiftsOf(chunk)),
          clock_shifts: shiftsOf(chunk).length > 1 ? shiftsOf(chunk) : null,
          peaks: hexOf(chunk.peaks),
          sealed_peaks: hexOf(chunk.sealedPeaks)
        }
      : {})
  }
}

const fileRecord = ({ conversation, uid }: Name, file: FileChange) => ({
  start_at: file.start,
  first_id: file.firstId,
  id: Timeline.fileId(uid, conversation, file),
  sample_rate: file.sampleRate,
  codec: file.codec,
  end_at: file.endAt,
  captured: file.captured,
  lost: file.lost,
  chunks: file.chunks,
  last_start: file.lastStart,
  last_id: file.lastId,
  changed_at: finite(file.changedAt),
  appended: file.isAppended
})

/**
 * Applies a change; the caller holds the lock of the conversation's row. A file's revision changes when its existing bytes do,
 * not when it grows. Files between `from` and `to` that the change doesn't list are deleted.
 */
function writePage(sql: SqlClient.SqlClient, name: Name, change: IndexChange<NewChunk>, isImport: boolean) {
  const { files, from, open, placed, to, total } = change
  const added = placed.filter(({ isAdded }) => isAdded)
  const hours = [...new Set(added.flatMap(({ chunk }) => hoursOf(chunk.start, Span.end(chunk))))]
  const shifts = placed.filter(({ chunk, isNew }) => isNew && shiftsOf(chunk).length > 0).length
  const { conversation, uid } = name
  const ends = added.map(({ chunk }) => Span.end(chunk))
  const endedOn = isImport
    ? dayOf(sql, sql`to_timestamp(${String(ends.reduce((last, end) => Math.max(last, end), 0))}::float8)`)
    : dayOf(sql, sql`now()`)
  const kept = open === undefined || open.isContinued ? [] : [{ start_at: open.start, first_id: open.id }]
  const records = files.map((file) => fileRecord(name, file))
  return sql`
    with w as (
      select * from json_to_recordset(${JSON.stringify(placed.filter(({ isChanged }) => isChanged).map(chunkRecord))}::json) as w(
        start_at float8, id uuid, added boolean, begins boolean, at bigint, skip bigint, heard bigint,
        lost_samples bigint, heard_end bigint, end_at bigint, pending text, samples bigint, sample_rate int, codec text,
        object_key text, bytes bigint, crc32c bigint, lost boolean, clock_shift float8, clock_shifts float8[],
        peaks text, sealed_peaks text
      )
    ), moved as (
      update chunks c
      set begins = w.begins, at = w.at, skip = w.skip, heard = w.heard, lost_samples = w.lost_samples,
          heard_end = w.heard_end, end_at = w.end_at, pending = w.pending
      from w
      where not w.added and c.uid = ${uid} and c.conversation_id = ${conversation} and c.start_at = w.start_at and c.id = w.id
    ), added as (
      insert into chunks
        (uid, conversation_id, start_at, id, samples, sample_rate, codec, object_key, bytes, crc32c, lost, clock_shift,
         clock_shifts, peaks, sealed_peaks, begins, at, skip, heard, lost_samples, heard_end, end_at, pending)
      select ${uid}, ${conversation}, start_at, id, samples, sample_rate, codec, object_key, bytes, crc32c, lost, clock_shift,
             clock_shifts, decode(peaks, 'hex'), decode(sealed_peaks, 'hex'), begins, at, skip, heard, lost_samples,
             heard_end, end_at, pending
      from w where added
      on conflict (uid, conversation_id, start_at, id) do update set
        samples = excluded.samples, object_key = excluded.object_key, bytes = excluded.bytes, crc32c = excluded.crc32c,
        lost = excluded.lost, peaks = excluded.peaks, sealed_peaks = excluded.sealed_peaks, begins = excluded.begins,
        at = excluded.at, skip = excluded.skip, heard = excluded.heard, lost_samples = excluded.lost_samples,
        heard_end = excluded.heard_end, end_at = excluded.end_at, pending = excluded.pending
    ), summed as (
      update conversations
      set chunks = chunks + ${total.chunks}::float8::bigint, files = files + ${total.files}::float8::bigint,
          clock_shifts = clock_shifts + ${shifts}::float8::bigint, captured = captured + ${total.captured}::float8,
          lost = lost + ${total.lost}::float8, revision = revision + 1, ended_on = greatest(ended_on, ${endedOn})
      where uid = ${uid} and id = ${conversation}
      returning revision
    ), resumed as (
      insert into conversation_ends (uid, conversation_id, from_start, due_at)
      select ${uid}, ${conversation}, min(start_at), now() from w where added and ${!isImport} having count(*) > 0
      on conflict (uid, conversation_id) do update
      set is_quiet = false, from_start = least(conversation_ends.from_start, excluded.from_start)
    ), stale as (
      insert into waveform_hours (uid, conversation_id, hour)
      select v.uid, v.id, h.value::bigint
      from conversations v, json_array_elements_text(${JSON.stringify(hours)}::json) h
      where v.uid = ${uid} and v.id = ${conversation} and h.value::bigint < v.drawn_until
      on conflict (uid, conversation_id, hour) do update set pairs = null, sealed_pairs = null
    ), n as (
      select * from json_to_recordset(${JSON.stringify([...records, ...kept])}::json) as n(
        start_at float8, first_id uuid, id uuid, sample_rate int, codec text, end_at bigint, captured bigint, lost bigint,
        chunks bigint, last_start float8, last_id uuid, changed_at bigint, appended boolean
      )
    ), gone as (
      delete from audio_files f
      where f.uid = ${uid} and f.conversation_id = ${conversation}
        and (f.start_at, f.first_id) > (${String(from.start)}::float8, ${from.id}::uuid)
        and (f.start_at, f.first_id) <= (${String(to.start)}::float8, ${to.id}::uuid)
        and (f.start_at, f.first_id) not in (select start_at, first_id from n)
    ), changed as (
      update audio_files f
      set end_at = n.end_at, captured = n.captured, lost = n.lost, chunks = n.chunks, last_start = n.last_start,
          last_id = n.last_id,
          revision = case when n.changed_at < f.end_at or n.end_at < f.end_at
            then (select revision from summed) else f.revision end
      from n
      where n.id is not null and f.uid = ${uid} and f.conversation_id = ${conversation}
        and f.start_at = n.start_at and f.first_id = n.first_id
    )
    insert into audio_files
      (uid, conversation_id, start_at, first_id, id, sample_rate, codec, end_at, captured, lost, chunks, last_start,
       last_id, revision)
    select ${uid}, ${conversation}, start_at, first_id, id, sample_rate, codec, end_at, captured, lost, chunks, last_start,
           last_id, case when appended then 0 else (select revision from summed) end
    from n
    where n.id is not null and not exists (
      select from audio_files f
      where f.uid = ${uid} and f.conversation_id = ${conversation}
        and f.start_at = n.start_at and f.first_id = n.first_id
    )`
}

const make = Effect.fnUntraced(function* (bounds: Bounds) {
  const db = yield* Db
  const events = yield* Events
  return ChunkIndex.of({
    insert: Effect.fn("ChunkIndex.insert")(function* (name, additions, options = {}) {
      return yield* db.transactionIdempotent(
        "ChunkIndex.insert",
        Effect.fnUntraced(function* (sql) {
          if (yield* lock(sql, events, name, options)) return yield* new Fence.Purged(name)
          const rows = IndexRows.indexRows(sql, name)
          let added = 0
          const write = (change: IndexChange<NewChunk>) => {
            added += change.total.chunks
            return writePage(sql, name, change, options.createdAt !== undefined)
          }
          let rest: ReadonlyArray<NewChunk> | undefined = distinct(additions)
          while (rest !== undefined && rest.length > 0)
            rest = yield* computeChanges(rows, rest, { ...bounds, replaces }, write)
          return added
        })
      )
    })
  })
})
