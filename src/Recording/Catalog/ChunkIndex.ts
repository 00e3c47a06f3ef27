/**
 * Inserts chunks into the index of their conversation, one transaction at a time. A chunk after all others is an append: it
 * reads the previous row and changes one row of each table. Otherwise the following rows are laid out again until one stays
 * unchanged.
 */
import { Context, Effect, Layer } from "effect"
import type { SqlClient } from "effect/sql"
import { Timeline } from "../../Audio.ts"
import { Db, type DbError } from "../../Db.ts"
import { type NewChunk, writePage } from "./IndexWrites.ts"
import { type Bounds, computeChanges, type PageChange } from "./IndexChanges.ts"
import * as IndexRows from "./IndexRows.ts"

type Sql = SqlClient.SqlClient
type Name = IndexRows.Name

export class ChunkIndex extends Context.Service<
  ChunkIndex,
  {
    /**
     * Creates the conversation's row if it is missing; returns the number of new rows. An existing row is kept unless it is
     * lost and the new chunk is stored. `createdAt`: Unix seconds; the earlier of this and the conversation's own is kept.
     */
    insert(name: Name, additions: ReadonlyArray<NewChunk>, createdAt?: number): Effect.Effect<number, DbError>
  }
>()("spillway/Recording/Catalog/ChunkIndex") {
  static readonly layerWith = (bounds: Bounds) =>
    Layer.effect(
      ChunkIndex,
      Effect.suspend(() => make(bounds))
    )
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

/** Creates the conversation's row if it is missing, and locks it. */
const lock = Effect.fnUntraced(function* (sql: Sql, { conversation, uid }: Name, createdAt: number | undefined) {
  const locked = sql`select 1 from conversations where uid = ${uid} and id = ${conversation} for no key update`
  if (createdAt === undefined && (yield* locked).length > 0) return
  const began = createdAt === undefined ? sql`now()` : sql`to_timestamp(${String(createdAt)}::float8)`
  yield* sql`
    insert into conversations (uid, id, created_at) values (${uid}, ${conversation}, ${began})
    on conflict (uid, id) do update set created_at = excluded.created_at
    where excluded.created_at < conversations.created_at and ${createdAt !== undefined}`
  yield* locked
})

/** Sorted, without duplicate keys. */
const distinct = (additions: ReadonlyArray<NewChunk>): ReadonlyArray<NewChunk> => {
  const byKey = new Map<string, NewChunk>()
  for (const addition of additions) {
    const key = `${addition.start} ${addition.id}`
    const known = byKey.get(key)
    if (known === undefined || replaces(addition, known)) byKey.set(key, addition)
  }
  return [...byKey.values()].sort(Timeline.order)
}

const make = Effect.fnUntraced(function* (bounds: Bounds) {
  const db = yield* Db
  return ChunkIndex.of({
    insert: Effect.fn("ChunkIndex.insert")(function* (name, additions, createdAt) {
      return yield* db.transactionIdempotent(
        "ChunkIndex.insert",
        Effect.fnUntraced(function* (sql) {
          yield* lock(sql, name, createdAt)
          const rows = IndexRows.indexRows(sql, name)
          let added = 0
          const write = (change: PageChange<NewChunk>) => {
            added += change.total.chunks
            return writePage(sql, name, change)
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
