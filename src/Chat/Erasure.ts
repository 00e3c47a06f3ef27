/** Removes the chat of deleted streams and of users, in batches. */
import { Context, Effect, Layer } from "effect"
import type { SqlClient, Statement } from "effect/sql"
import { Db, type DbError } from "../Db.ts"

/** Rows of each table that one batch removes. */
const erasedAtOnce = 1_000

/** Rooms that are compared with their streams at once. */
const checkedAtOnce = 500

/** Rows of each table that are removed because their time has passed. */
const prunedAtOnce = 1_000

export class Erasure extends Context.Service<
  Erasure,
  {
    has(uid: string): Effect.Effect<boolean, DbError>
    /** Removes what a user has written, and where it is moderator or banned; returns how many rows, 0 when none is left. */
    eraseOf(uid: string): Effect.Effect<number, DbError>
    /**
     * Erases a part of the first room after `after` whose stream is deleted. Returns the room to look at next; undefined at the
     * end of all.
     */
    eraseAfter(after: number): Effect.Effect<number | undefined, DbError>
    /** Removes a bounded number of timeouts that ended a day ago. */
    readonly prune: Effect.Effect<void, DbError>
  }
>()("spillway/Chat/Erasure") {
  static readonly layer = Layer.effect(
    Erasure,
    Effect.suspend(() => make)
  )
}

type Sql = SqlClient.SqlClient

const tables = ["chat_messages", "chat_changes", "chat_moderators", "chat_bans"] as const

/** Returns how many rows it has removed. */
const removeRows = (sql: Sql, table: (typeof tables)[number], where: Statement.Fragment) =>
  Effect.map(
    sql`
      delete from ${sql(table)}
      where ctid = any(array(select ctid from ${sql(table)} where ${where} limit ${erasedAtOnce})) returning 1 as one`,
    (rows) => rows.length
  )

const make = Effect.gen(function* () {
  const db = yield* Db

  const eraseRoom = (stream: number) =>
    db.transactionIdempotent(
      "Erasure.eraseRoom",
      Effect.fnUntraced(function* (sql) {
        // Fences posts that began before the stream was deleted.
        yield* sql`select from chat_rooms where stream_id = ${stream}::bigint for update`
        let erased = 0
        for (const table of tables) erased += yield* removeRows(sql, table, sql`stream_id = ${stream}::bigint`)
        if (erased === 0) yield* sql`delete from chat_rooms where stream_id = ${stream}::bigint`
        return erased
      })
    )

  return Erasure.of({
    has: Effect.fn("Erasure.has")((uid) =>
      Effect.map(
        db.read(
          "Erasure.has",
          (sql) => sql`
            (select 1 as one from chat_messages where uid = ${uid} limit 1)
            union all (select 1 from chat_moderators where uid = ${uid} limit 1)
            union all (select 1 from chat_bans where uid = ${uid} limit 1) limit 1`
        ),
        (rows) => rows.length > 0
      )
    ),
    eraseOf: Effect.fn("Erasure.eraseOf")((uid) =>
      db.transactionIdempotent(
        "Erasure.eraseOf",
        Effect.fnUntraced(function* (sql) {
          let erased = 0
          for (const table of tables) erased += yield* removeRows(sql, table, sql`uid = ${uid}`)
          erased += yield* removeRows(sql, "chat_changes", sql`changed_by = ${uid}`)
          const bans = yield* sql`
            update chat_bans set banned_by = ''
            where ctid = any(array(select ctid from chat_bans where banned_by = ${uid} limit ${erasedAtOnce})) returning 1 as one`
          return erased + bans.length
        })
      )
    ),
    eraseAfter: Effect.fn("Erasure.eraseAfter")(function* (after) {
      const rows = yield* db.read(
        "Erasure.rooms",
        (sql) => sql<{ readonly stream: number; readonly gone: boolean }>`
          select stream_id::float8 as stream,
                 coalesce((select s.deleted_at is not null from streams s where s.id = r.stream_id limit 1), true) as gone
          from chat_rooms r where stream_id > ${after}::bigint order by stream_id limit ${checkedAtOnce}`
      )
      const gone = rows.find((room) => room.gone)
      if (gone === undefined) return rows.length < checkedAtOnce ? undefined : rows.at(-1)?.stream
      const erased = yield* eraseRoom(gone.stream)
      return erased > 0 ? gone.stream - 1 : gone.stream
    }),
    prune: Effect.asVoid(
      db.writeIdempotent(
        "Erasure.prune",
        (sql) => sql`
          delete from chat_bans
          where ctid = any(array(
            select ctid from chat_bans where until < now() - interval '1 day' order by until limit ${prunedAtOnce}
          ))`
      )
    )
  })
})
