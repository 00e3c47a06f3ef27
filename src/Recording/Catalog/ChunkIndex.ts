/**
 * Writes chunks into the index of their conversation, one transaction after the other. A chunk behind all others is an
 * append: it reads the row before it and changes one row of each table. Any other one is laid out with the rows that follow,
 * until one of them stays as it is.
 */
import { Context, Effect, Layer } from "effect"
import type { SqlClient } from "effect/sql"
import { Timeline } from "../../Audio.ts"
import { Db, type DbError } from "../../Db.ts"
import { type Addition, apply } from "./Addition.ts"
import { type Bounds, layOut, type PageChange } from "./LayOut.ts"
import * as IndexRows from "./IndexRows.ts"

type Sql = SqlClient.SqlClient
type Name = IndexRows.Name

export class ChunkIndex extends Context.Service<
  ChunkIndex,
  {
    /**
     * Creates the conversation's row if it is missing; returns how many rows are new. A row that is there already stays as it
     * is, unless it is lost and the addition is stored. `createdAt`: unix seconds; an older conversation keeps its own.
     */
    insert(name: Name, additions: ReadonlyArray<Addition>, createdAt?: number): Effect.Effect<number, DbError>
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

/** A stored chunk is heard, whoever noted it as lost. */
const replaces = (added: { readonly state: string }, row: { readonly state: string }): boolean =>
  added.state !== "lost" && row.state === "lost"

/** Makes the row of the conversation if it is missing, and waits until no other transaction writes to its index. */
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

/** In order, each key once. */
const distinct = (additions: ReadonlyArray<Addition>): ReadonlyArray<Addition> => {
  const byKey = new Map<string, Addition>()
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
          const write = (change: PageChange<Addition>) => {
            added += change.total.chunks
            return apply(sql, name, change)
          }
          let rest: ReadonlyArray<Addition> | undefined = distinct(additions)
          while (rest !== undefined && rest.length > 0) rest = yield* layOut(rows, rest, { ...bounds, replaces }, write)
          return added
        })
      )
    })
  })
})
