/** Rows of what the nodes measure of live streams, written every few seconds and read by key. */
import { Context, Effect, Layer, Option, Schema } from "effect"
import { SecureRandom } from "effect/crypto"
import { Db, type DbError } from "../../Db.ts"
import type { Stream } from "../Stream.ts"
import { columns, Row, streamOf, tables } from "../StreamRows.ts"

/** A row that was not written for as long is ignored: its node is gone. */
const freshFor = "12 seconds"

/** Old rows that are removed at once; the next time removes the rest. */
const pruned = 500

/** What one node measures of a stream, or all nodes together. */
export interface Figures {
  /** Bits per second. */
  readonly bitrate: number
  readonly listeners: number
  /** Chunks that wait for their upload, and deferred ones. */
  readonly queued: number
  readonly deferred: number
}

export interface MeasuredStream {
  readonly stream: Stream
  readonly figures: Figures
}

export class MetricRows extends Context.Service<
  MetricRows,
  {
    /** Replaces what this node has written before. */
    write(measured: ReadonlyArray<Figures & { readonly stream: number }>): Effect.Effect<void, DbError>
    /** In one query. None without such a stream. */
    read(slug: string): Effect.Effect<Option.Option<MeasuredStream>, DbError>
  }
>()("spillway/Streams/Metrics/MetricRows") {
  static readonly layer = Layer.effect(
    MetricRows,
    Effect.suspend(() => make)
  )
}

const Measured = Schema.Struct({
  ...Row.fields,
  bitrate: Schema.Finite,
  listeners: Schema.Int,
  queued: Schema.Int,
  deferred: Schema.Int
})
const decode = Schema.decodeUnknownEffect(Schema.Array(Measured))

const make = Effect.gen(function* () {
  const db = yield* Db
  const node = SecureRandom.uuidV4Unsafe()

  return MetricRows.of({
    write: Effect.fn("MetricRows.write")((measured) =>
      Effect.asVoid(
        db.writeIdempotent(
          "MetricRows.write",
          (sql) => sql`
            with given as materialized (
              select g.* from json_to_recordset(${JSON.stringify(measured)}::json)
                as g(stream bigint, bitrate float8, listeners int, queued int, deferred int) order by g.stream
            ), gone as (
              delete from stream_nodes where (stream_id, node) in (
                select stream_id, node from stream_nodes
                where written_at < now() - ${freshFor}::interval and stream_id not in (select stream from given)
                order by written_at limit ${pruned} for update skip locked
              )
            )
            insert into stream_nodes (stream_id, node, bitrate, listeners, queued, deferred)
            select stream, ${node}::uuid, bitrate, listeners, queued, deferred from given
            on conflict (stream_id, node) do update
            set written_at = now(), bitrate = excluded.bitrate, listeners = excluded.listeners,
                queued = excluded.queued, deferred = excluded.deferred`
        )
      )
    ),
    read: Effect.fn("MetricRows.read")((slug) =>
      db
        .read("MetricRows.read", (sql) =>
          sql`
            select ${columns(sql)}, n.bitrate, n.listeners, n.queued, n.deferred
            from ${tables(sql)}
            cross join lateral (
              select coalesce(sum(bitrate), 0) as bitrate, coalesce(sum(listeners), 0)::int as listeners,
                     coalesce(sum(queued), 0)::int as queued, coalesce(sum(deferred), 0)::int as deferred
              from stream_nodes where stream_id = s.id and written_at > now() - ${freshFor}::interval
            ) n
            where slug = ${slug} and deleted_at is null limit 1`.pipe(
            Effect.flatMap(decode),
            Effect.catchTag("SchemaError", Effect.die)
          )
        )
        .pipe(
          Effect.map(([row]) =>
            Option.map(Option.fromUndefinedOr(row), ({ bitrate, deferred, listeners, queued, ...stream }) => ({
              stream: streamOf(stream),
              figures: { bitrate, listeners, queued, deferred }
            }))
          )
        )
    )
  })
})
