/**
 * The audio files of conversations, without reading all of their chunks each time: what the layout of the first ones has
 * come to is kept, and gone on with. It is used only while as many chunks lie behind it as when it was made.
 */
import { Context, Effect, Layer, Option, Schema } from "effect"
import { SqlSchema } from "effect/sql"
import { Span, Timeline } from "../Audio.ts"
import { Db, type DbError } from "../Db.ts"
import type { Chunk } from "./Chunk.ts"

/** A chunk's place in the order of the layout. */
const Through = Schema.Struct({ start: Schema.Finite, samples: Schema.Finite, id: Schema.String })
type Through = typeof Through.Type

/** What is kept of a conversation. */
const Kept = Schema.Struct({
  gapSeconds: Schema.Finite,
  /** Chunks that it was made of: all up to `through`. */
  count: Schema.Int,
  through: Through,
  files: Timeline.State
})
type Kept = typeof Kept.Type

const KeptRow = Schema.Struct({ conversation: Schema.String, state: Schema.String })

/** `total` is of the conversation, at the moment of the statement. Without a chunk there is none after `through`. */
const Row = Schema.Struct({
  conversation: Schema.String,
  total: Schema.Finite,
  id: Schema.NullOr(Schema.String),
  start: Schema.NullOr(Schema.Finite),
  samples: Schema.NullOr(Schema.Finite),
  sampleRate: Schema.NullOr(Schema.Int),
  codec: Schema.NullOr(Span.Codec),
  lost: Schema.NullOr(Schema.Boolean)
})

interface Stored extends Timeline.TimelineChunk {
  readonly id: string
}

interface Page {
  readonly total: number
  readonly chunks: ReadonlyArray<Stored>
}

export interface Asked {
  readonly id: string
  /** Looked at before the database is asked. */
  readonly live: ReadonlyArray<Chunk>
}

export interface Bounds {
  /** Chunks of each conversation that are read for all of them at once. */
  readonly firstPage: number
  /** Chunks of one conversation that are read at once when it has more. */
  readonly nextPage: number
  /** It is kept anew when so many chunks have come. */
  readonly keepEvery: number
}

export class Timelines extends Context.Service<
  Timelines,
  {
    /** The audio files of each of the conversations, stored and live chunks together, as `Timeline.layout` lays them out. */
    of(
      uid: string,
      conversations: ReadonlyArray<Asked>,
      gapSeconds: number
    ): Effect.Effect<ReadonlyArray<ReadonlyArray<Timeline.Summary>>, DbError>
  }
>()("spillway/Recording/Timelines") {
  static readonly layerWith = (bounds: Bounds) =>
    Layer.effect(
      Timelines,
      Effect.suspend(() => make(bounds))
    )
  static readonly layer = this.layerWith({ firstPage: 250, nextPage: 5_000, keepEvery: 100 })
}

const beforeAll: Through = { start: -Infinity, samples: 0, id: "00000000-0000-0000-0000-000000000000" }

const decode = Schema.decodeOption(Schema.fromJsonString(Kept))
const encode = Schema.encodeSync(Schema.fromJsonString(Kept))

/** Lays out what is stored, with what is live between it, and notes what can be kept: what no live chunk comes before. */
class Reader {
  readonly #layout: Timeline.Layout
  /** The next one last. */
  #live: Array<Chunk>
  readonly #liveIds: ReadonlySet<string>
  readonly #gapSeconds: number
  readonly #begin: number
  #count: number
  #through: Through
  /** As it was at the first live chunk. */
  #kept: Kept | undefined

  constructor(gapSeconds: number, live: ReadonlyArray<Chunk>, kept: Kept | undefined) {
    this.#gapSeconds = gapSeconds
    this.#layout = new Timeline.Layout(gapSeconds, kept?.files)
    this.#live = live.toSorted(Timeline.order).toReversed()
    this.#liveIds = new Set(live.map(({ id }) => id))
    this.#begin = kept?.count ?? 0
    this.#count = this.#begin
    this.#through = kept?.through ?? beforeAll
  }

  get through(): Through {
    return this.#through
  }

  get files(): ReadonlyArray<Timeline.Summary> {
    return this.#layout.files
  }

  /** Whether it has seen as many as there are. */
  isOf(total: number): boolean {
    return this.#count === total
  }

  /** If it was made of at least so many more chunks than what it began with. */
  kept(more: number): Kept | undefined {
    const kept = this.#kept ?? this.#state
    return kept.count - this.#begin >= more ? kept : undefined
  }

  add(chunk: Stored): void {
    this.#addLive((live) => Timeline.order(live, chunk) < 0 && live.id !== chunk.id)
    if (this.#liveIds.has(chunk.id)) this.#live = this.#live.filter(({ id }) => id !== chunk.id)
    this.#layout.add(chunk)
    this.#count++
    this.#through = { start: chunk.start, samples: chunk.samples, id: chunk.id }
  }

  end(): void {
    this.#addLive(() => true)
  }

  get #state(): Kept {
    return {
      gapSeconds: this.#gapSeconds,
      count: this.#count,
      through: this.#through,
      files: this.#layout.state
    }
  }

  #addLive(isNext: (live: Chunk) => boolean): void {
    for (let live = this.#live.at(-1); live !== undefined && isNext(live); live = this.#live.at(-1)) {
      this.#kept ??= this.#state
      this.#layout.add(live)
      this.#live.pop()
    }
  }
}

/** A live chunk before its end may have been stored before it was kept, or not: both are laid out anew. */
const isUsable = (kept: Kept, gapSeconds: number, live: ReadonlyArray<Chunk>): boolean =>
  kept.gapSeconds === gapSeconds && live.every((chunk) => Timeline.order(chunk, { ...chunk, ...kept.through }) > 0)

const make = Effect.fnUntraced(function* ({ firstPage, keepEvery, nextPage }: Bounds) {
  const db = yield* Db

  const keptOf = Effect.fnUntraced(function* (uid: string, ids: ReadonlyArray<string>) {
    const rows = yield* db
      .read("Timelines.kept", (sql) =>
        SqlSchema.findAll({
          Request: Schema.Void,
          Result: KeptRow,
          execute: () => sql`
            select conversation_id as conversation, state from timelines
            where uid = ${uid} and conversation_id = any(${ids}::text[])`
        })(undefined)
      )
      .pipe(Effect.catchTag("SchemaError", Effect.die))
    return new Map(rows.map(({ conversation, state }) => [conversation, Option.getOrUndefined(decode(state))]))
  })

  /** The chunks after each `through`, at most `limit` for each. */
  const pages = Effect.fnUntraced(function* (
    uid: string,
    wanted: ReadonlyArray<{ readonly id: string; readonly through: Through }>,
    limit: number
  ) {
    const rows = yield* db
      .read("Timelines.pages", (sql) =>
        SqlSchema.findAll({
          Request: Schema.Void,
          Result: Row,
          execute: () => sql`
            select v.id as conversation, v.chunks::float8 as total, c.id::text as id, c.start_at as start,
                   c.samples::float8 as samples, c.sample_rate as "sampleRate", c.codec, c.lost
            from unnest(
              ${wanted.map(({ id }) => id)}::text[], ${wanted.map(({ through }) => String(through.start))}::text[]::float8[],
              ${wanted.map(({ through }) => String(through.samples))}::text[]::bigint[],
              ${wanted.map(({ through }) => through.id)}::uuid[]
            ) as w(id, start_at, samples, chunk)
            join conversations v on v.uid = ${uid} and v.id = w.id
            left join lateral (
              select k.id, k.start_at, k.samples, k.sample_rate, k.codec, k.lost from chunks k
              where k.uid = ${uid} and k.conversation_id = w.id and k.start_at >= w.start_at
                and (k.start_at > w.start_at or k.samples < w.samples or (k.samples = w.samples and k.id > w.chunk))
              order by k.start_at, k.samples desc, k.id limit ${limit}
            ) c on true`
        })(undefined)
      )
      .pipe(Effect.catchTag("SchemaError", Effect.die))
    const found = new Map<string, { total: number; chunks: Array<Stored> }>()
    for (const { codec, conversation, id, lost, sampleRate, samples, start, total } of rows) {
      const page = found.get(conversation) ?? { total, chunks: [] }
      found.set(conversation, page)
      if (id === null || start === null || samples === null || sampleRate === null || codec === null) continue
      page.chunks.push({ id, start, samples, sampleRate, codec, state: lost === true ? "lost" : "stored" })
    }
    return (id: string): Page => found.get(id) ?? { total: 0, chunks: [] }
  })

  /** All that is left; answers whether it has seen all that there are. */
  const finish = Effect.fnUntraced(function* (
    uid: string,
    id: string,
    reader: Reader,
    first: Page,
    firstLimit: number
  ) {
    let [page, limit] = [first, firstLimit]
    for (;;) {
      for (const chunk of page.chunks) reader.add(chunk)
      if (page.chunks.length < limit) break
      limit = nextPage
      page = (yield* pages(uid, [{ id, through: reader.through }], limit))(id)
    }
    reader.end()
    return reader.isOf(page.total)
  })

  /** The row of a conversation that is deleted meanwhile is not made. */
  const keep = (uid: string, id: string, kept: Kept) =>
    db
      .writeIdempotent(
        "Timelines.keep",
        (sql) => sql`
          insert into timelines (uid, conversation_id, state)
          select uid, id, ${encode(kept)} from conversations where uid = ${uid} and id = ${id} for key share
          on conflict (uid, conversation_id) do update set state = excluded.state`
      )
      .pipe(Effect.catch((cause) => Effect.logDebug("a timeline could not be kept", cause)))

  return Timelines.of({
    of: Effect.fn("Timelines.of")(function* (uid, conversations, gapSeconds) {
      if (conversations.length === 0) return []
      const ids = conversations.map(({ id }) => id)
      const kept = yield* keptOf(uid, ids)
      const started = conversations.map(({ id, live }) => {
        const state = kept.get(id)
        const usable = state !== undefined && isUsable(state, gapSeconds, live) ? state : undefined
        return { id, live, isFresh: usable === undefined, reader: new Reader(gapSeconds, live, usable) }
      })
      const firstOf = yield* pages(
        uid,
        started.map(({ id, reader }) => ({ id, through: reader.through })),
        firstPage
      )
      const files: Array<ReadonlyArray<Timeline.Summary>> = []
      for (const { id, isFresh, live, reader } of started) {
        let [used, isComplete] = [reader, yield* finish(uid, id, reader, firstOf(id), firstPage)]
        // One came in between those that were laid out: begin again.
        if (!isComplete && !isFresh) {
          used = new Reader(gapSeconds, live, undefined)
          const first = (yield* pages(uid, [{ id, through: used.through }], nextPage))(id)
          isComplete = yield* finish(uid, id, used, first, nextPage)
        }
        files.push(used.files)
        const state = isComplete ? used.kept(keepEvery) : undefined
        // At once: who gives up waiting for a list of long ones finds these done.
        if (state !== undefined) yield* keep(uid, id, state)
      }
      return files
    })
  })
})
