/**
 * Peaks of each minute of a conversation, stored in one row per hour, so that a waveform of months reads some hundred rows.
 * An hour is computed from its chunks on first use; a chunk inserted later marks the row as stale.
 */
import { Context, Effect, Layer, Option, Stream } from "effect"
import { Peaks } from "../../Audio.ts"
import { Db, type DbError } from "../../Db.ts"
import { Protection } from "../../Encryption.ts"
import type { Name } from "./IndexRows.ts"
import * as PeaksAtRest from "./PeaksAtRest.ts"

export interface Minutes {
  /** Unix second. */
  readonly start: number
  readonly seconds: number
  readonly pair: Uint8Array
}

export interface LostSpan {
  readonly start: number
  readonly seconds: number
}

export class WaveformHours extends Context.Service<
  WaveformHours,
  {
    /** Minutes with audio between two Unix seconds, in groups of up to `most`, in any order. A minute may come in two parts. */
    minutes(name: Name, from: number, to: number, most: number): Stream.Stream<ReadonlyArray<Minutes>, DbError>
    /** Lost spans between two Unix seconds, at most one per `width` seconds. */
    lost(name: Name, from: number, to: number, width: number): Effect.Effect<ReadonlyArray<LostSpan>, DbError>
  }
>()("spillway/Recording/Catalog/WaveformHours") {
  static readonly layer = Layer.effect(
    WaveformHours,
    Effect.suspend(() => make)
  )
}

const hourSeconds = 3_600
const minutesOfHour = 60

/** Rows per page: about 8 hours of one capture's chunks, and two months of hours. */
const chunkPage = 500
const hourPage = 1_500

/** Largest number of stale hours recomputed for one request; the others are left out of it. */
const maxStaleHours = 100

/** Largest number of lost spans of one waveform: its largest number of points. */
const maxLostSpans = 10_000

/** The hours since the Unix epoch that the span between two Unix seconds touches. */
export function hoursOf(start: number, end: number): ReadonlyArray<number> {
  const first = Math.floor(start / hourSeconds)
  return Array.from({ length: Math.max(1, Math.ceil(end / hourSeconds) - first) }, (_, index) => first + index)
}

class Hour {
  /** Low is above high in minutes without audio. */
  readonly pairs = Int8Array.from({ length: minutesOfHour * Peaks.pairBytes }, (_, index) =>
    index % 2 === 0 ? 127 : -128
  )
  isEncrypted = false
  isUnreadable = false

  add(minute: number, low: number, high: number): void {
    const at = minute * Peaks.pairBytes
    this.pairs[at] = Math.min(this.pairs[at] ?? low, low)
    this.pairs[at + 1] = Math.max(this.pairs[at + 1] ?? high, high)
  }
}

/** Minutes with audio between two Unix seconds. `pairs` is encoded as in `Peaks`. */
const minutesIn = (hour: number, pairs: Uint8Array, from: number, to: number, most: number): Array<Minutes> => {
  const levels = new Int8Array(pairs.buffer, pairs.byteOffset, pairs.length)
  const found: Array<Minutes> = []
  let [count, low, high] = [0, 0, 0]
  for (let minute = 0; minute <= minutesOfHour; minute++) {
    const start = hour * hourSeconds + minute * 60
    const lowest = levels[minute * Peaks.pairBytes] ?? 0
    const highest = levels[minute * Peaks.pairBytes + 1] ?? 0
    const isHeard = minute < minutesOfHour && start + 60 > from && start < to && lowest <= highest
    if (count > 0 && (!isHeard || count === most)) {
      found.push({ start: start - count * 60, seconds: count * 60, pair: Uint8Array.of(low, high) })
      count = 0
    }
    if (!isHeard) continue
    low = count === 0 ? lowest : Math.min(low, lowest)
    high = count === 0 ? highest : Math.max(high, highest)
    count++
  }
  return found
}

interface ChunkRow {
  readonly start: number
  readonly id: string
  readonly seconds: number
  readonly peaks: Uint8Array | null
  readonly sealedPeaks: Uint8Array | null
}

const bytesOf = (pairs: Int8Array): Uint8Array => new Uint8Array(pairs.buffer, pairs.byteOffset, pairs.byteLength)

const make = Effect.gen(function* () {
  const db = yield* Db
  const protection = yield* Protection

  const chunkRows = ({ conversation, uid }: Name, from: number, to: number, after: ChunkRow | undefined) =>
    db.read(
      "WaveformHours.chunks",
      (sql) => sql<ChunkRow>`
        select start_at as start, id::text as id, samples / sample_rate::float8 as seconds,
               substring(peaks for ${Peaks.pairBytes}) as peaks,
               substring(sealed_peaks for ${PeaksAtRest.encryptedPairBytes}) as "sealedPeaks"
        from chunks
        where uid = ${uid} and conversation_id = ${conversation} and start_at >= ${String(from)}::float8
          and start_at < ${String(to)}::float8
          and ${after === undefined ? sql`true` : sql`(start_at, id) > (${String(after.start)}::float8, ${after.id}::uuid)`}
        order by start_at, id limit ${chunkPage}`
    )

  const draw = Effect.fnUntraced(function* (uid: string, rows: ReadonlyArray<ChunkRow>, hours: Map<number, Hour>) {
    for (const row of rows) {
      const isEncrypted = row.sealedPeaks !== null
      const whole = yield* Effect.option(PeaksAtRest.fromRow(protection, uid, row))
      const pair = Option.getOrUndefined(whole)
      const [low, high] = pair === undefined ? [] : new Int8Array(pair.buffer, pair.byteOffset, pair.length)
      const last = Math.ceil((row.start + row.seconds) / 60)
      for (let minute = Math.floor(row.start / 60); minute < last; minute++) {
        const number = Math.floor(minute / minutesOfHour)
        const hour = hours.get(number) ?? new Hour()
        hours.set(number, hour)
        hour.isEncrypted ||= isEncrypted
        hour.isUnreadable ||= Option.isNone(whole)
        if (low !== undefined && high !== undefined) hour.add(minute - number * minutesOfHour, low, high)
      }
    }
  })

  /** Stores hours unless the conversation changed meanwhile. Hours with undecryptable peaks stay stale. */
  const keep = Effect.fnUntraced(function* (
    { conversation, uid }: Name,
    hours: ReadonlyArray<readonly [number, Hour]>,
    revision: number,
    until: number | undefined
  ) {
    const rows = yield* Effect.forEach(hours, ([hour, { isEncrypted, isUnreadable, pairs }]) =>
      Effect.map(isEncrypted ? protection.encrypt(uid, bytesOf(pairs)) : Effect.succeed(bytesOf(pairs)), (bytes) => {
        const hex = isUnreadable ? null : Buffer.from(bytes).toString("hex")
        return { hour, pairs: isEncrypted ? null : hex, sealed_pairs: isEncrypted ? hex : null }
      })
    )
    yield* db.writeIdempotent(
      "WaveformHours.keep",
      (sql) => sql`
        with locked as (
          select 1 from conversations
          where uid = ${uid} and id = ${conversation} and revision = ${String(revision)}::bigint
          for no key update
        ), moved as (
          update conversations set drawn_until = coalesce(${until === undefined ? null : String(until)}::bigint, drawn_until)
          where uid = ${uid} and id = ${conversation} and exists (select from locked)
        )
        insert into waveform_hours (uid, conversation_id, hour, pairs, sealed_pairs)
        select ${uid}, ${conversation}, hour, decode(pairs, 'hex'), decode(sealed_pairs, 'hex')
        from json_to_recordset(${JSON.stringify(rows)}::json) as w(hour bigint, pairs text, sealed_pairs text)
        where exists (select from locked)
        on conflict (uid, conversation_id, hour) do update set
          pairs = excluded.pairs, sealed_pairs = excluded.sealed_pairs`
    )
  })

  const stateOf = Effect.fnUntraced(function* ({ conversation, uid }: Name) {
    const [state] = yield* db.read(
      "WaveformHours.state",
      (sql) => sql<{ readonly until: number | null; readonly revision: number; readonly stale: ReadonlyArray<number> }>`
        select v.drawn_until::float8 as until, v.revision::float8 as revision, array(
          select w.hour::float8 from waveform_hours w
          where w.uid = v.uid and w.conversation_id = v.id and w.pairs is null and w.sealed_pairs is null
          order by w.hour limit ${maxStaleHours}
        ) as stale
        from conversations v where v.uid = ${uid} and v.id = ${conversation}`
    )
    return state ?? { until: null, revision: 0, stale: [] }
  })

  /** Draws the chunks between two Unix seconds into `hours`, page by page. `onPage` gets the last chunk of each page. */
  const drawBetween = Effect.fnUntraced(function* (
    name: Name,
    from: number,
    to: number,
    hours: Map<number, Hour>,
    onPage: (last: ChunkRow) => Effect.Effect<void, DbError> = () => Effect.void
  ) {
    let after: ChunkRow | undefined
    do {
      const rows: ReadonlyArray<ChunkRow> = yield* chunkRows(name, from, to, after)
      yield* draw(name.uid, rows, hours)
      const last = rows.at(-1)
      if (last !== undefined) yield* onPage(last)
      after = rows.length < chunkPage ? undefined : last
    } while (after !== undefined)
  })

  /** Computes and stores an hour that a later chunk has changed. */
  const redraw = Effect.fnUntraced(function* (name: Name, number: number, revision: number) {
    const hour = new Hour()
    const hours = new Map([[number, hour]])
    yield* drawBetween(name, (number - 1) * hourSeconds, (number + 1) * hourSeconds, hours)
    yield* keep(name, [[number, hour]], revision, undefined)
    return hour
  })

  /** Computes and stores missing hours; returns those computed now, including the still growing last one. */
  const complete = Effect.fnUntraced(function* (name: Name) {
    const { revision, stale, until } = yield* stateOf(name)
    const rest = new Map<number, Hour>()
    for (const number of stale) rest.set(number, yield* redraw(name, number, revision))
    const hours = new Map<number, Hour>()
    const keepPast = Effect.fnUntraced(function* (last: ChunkRow) {
      const current = Math.floor(last.start / hourSeconds)
      const done = [...hours].filter(([hour]) => hour < current)
      const kept = done.filter(([hour]) => hour >= (until ?? -Infinity))
      if (kept.length > 0) yield* keep(name, kept, revision, current)
      // Returned as well: hours are not stored if the conversation changed meanwhile.
      for (const [hour, drawn] of done) {
        rest.set(hour, drawn)
        hours.delete(hour)
      }
    })
    // Chunks of the previous hour may extend into the first hour.
    const begin = until === null ? -Infinity : (until - 1) * hourSeconds
    yield* drawBetween(name, begin, Infinity, hours, keepPast)
    for (const [hour, drawn] of hours) rest.set(hour, drawn)
    return rest
  })

  const kept = ({ conversation, uid }: Name, from: number, to: number) =>
    db.read(
      "WaveformHours.kept",
      (sql) => sql<{
        readonly hour: number
        readonly pairs: Uint8Array | null
        readonly sealedPeaks: Uint8Array | null
      }>`
        select hour::float8 as hour, pairs, sealed_pairs as "sealedPeaks" from waveform_hours
        where uid = ${uid} and conversation_id = ${conversation} and hour >= ${String(from)}::bigint
          and hour < ${String(to)}::bigint and (pairs is not null or sealed_pairs is not null)
        order by hour limit ${hourPage}`
    )

  return WaveformHours.of({
    minutes: (name, from, to, most) => {
      const end = Math.ceil(to / hourSeconds)
      const stored = Stream.paginate(Math.floor(from / hourSeconds), (first) =>
        Effect.gen(function* () {
          const rows = yield* kept(name, first, end)
          const minutes: Array<Minutes> = []
          for (const { hour, pairs, sealedPeaks } of rows) {
            const opened = PeaksAtRest.fromRow(protection, name.uid, { peaks: pairs, sealedPeaks })
            const bytes = sealedPeaks === null ? pairs : Option.getOrUndefined(yield* Effect.option(opened))
            if (bytes !== null && bytes !== undefined) minutes.push(...minutesIn(hour, bytes, from, to, most))
          }
          const last = rows.length < hourPage ? undefined : rows.at(-1)
          const next = last === undefined ? Option.none<number>() : Option.some(last.hour + 1)
          return [[minutes], next] as const
        })
      )
      return Stream.unwrap(
        Effect.map(complete(name), (rest) => {
          const now = [...rest].flatMap(([hour, { pairs }]) => minutesIn(hour, bytesOf(pairs), from, to, most))
          return Stream.concat(Stream.succeed(now), stored)
        })
      )
    },
    lost: Effect.fn("WaveformHours.lost")(function* ({ conversation, uid }, from, to, width) {
      return yield* db.read("WaveformHours.lost", (sql) => {
        const next = sql`
          select c.start_at, c.samples / c.sample_rate::float8 as seconds from chunks c
          where c.uid = ${uid} and c.conversation_id = ${conversation} and c.lost and c.start_at < ${String(to)}::float8`
        return sql<LostSpan>`
          with recursive spans as (
            (${next} and c.start_at >= ${String(from)}::float8 order by c.start_at limit 1)
            union all
            select n.start_at, n.seconds from spans, lateral (
              ${next} and c.start_at >= spans.start_at + ${String(width)}::float8 order by c.start_at limit 1
            ) n
          )
          select start_at as start, seconds from spans limit ${maxLostSpans}`
      })
    })
  })
})
