/** Conversations in the database. */
import { Context, Effect, Layer, Option, Schema } from "effect"
import { SqlSchema } from "effect/sql"
import { Db, type DbError } from "../Db.ts"

const Row = Schema.Struct({
  id: Schema.String,
  /** Its place in the list: microseconds of `createdAt`, and a number of its own. */
  cursor: Schema.String,
  createdAt: Schema.Date,
  finishedAt: Schema.NullOr(Schema.Date),
  /** Stored chunks with audio that lies later than its stamps. */
  clockShifts: Schema.Int
})
export type ConversationRow = typeof Row.Type

export class ConversationRows extends Context.Service<
  ConversationRows,
  {
    /** Makes the row if it is missing. */
    ensure(uid: string, id: string): Effect.Effect<void, DbError>
    find(uid: string, id: string): Effect.Effect<Option.Option<ConversationRow>, DbError>
    /** Newest first, by `createdAt`: of a live one when it was first heard of, of an imported one when it began. `before` is a `cursor`. */
    latest(
      uid: string,
      before: string | undefined,
      limit: number
    ): Effect.Effect<ReadonlyArray<ConversationRow>, DbError>
  }
>()("spillway/Recording/ConversationRows") {
  static readonly layer = Layer.effect(
    ConversationRows,
    Effect.suspend(() => make)
  )
}

type Sql = Parameters<Parameters<Db["Service"]["read"]>[1]>[0]

const columns = (sql: Sql) => sql`
  id, (extract(epoch from created_at) * 1000000)::bigint || '-' || seq as cursor, created_at as "createdAt",
  finished_at as "finishedAt", clock_shifts::int as "clockShifts"`

const isBefore = (sql: Sql, cursor: string) => {
  const [micros = "", seq = ""] = cursor.split("-")
  return sql`(created_at, seq) < (timestamptz 'epoch' + ${micros}::bigint * interval '1 microsecond', ${seq}::bigint)`
}

const make = Effect.gen(function* () {
  const db = yield* Db
  return ConversationRows.of({
    ensure: Effect.fn("ConversationRows.ensure")(function* (uid, id) {
      yield* db.writeIdempotent(
        "ConversationRows.ensure",
        (sql) => sql`insert into conversations (uid, id) values (${uid}, ${id}) on conflict do nothing`
      )
    }),
    find: Effect.fn("ConversationRows.find")(function* (uid, id) {
      return yield* db
        .read("ConversationRows.find", (sql) =>
          SqlSchema.findOneOption({
            Request: Schema.String,
            Result: Row,
            execute: (wanted) => sql`
              select ${columns(sql)} from conversations where uid = ${uid} and id = ${wanted}`
          })(id)
        )
        .pipe(Effect.catchTag("SchemaError", Effect.die))
    }),
    latest: Effect.fn("ConversationRows.latest")(function* (uid, before, limit) {
      return yield* db
        .read("ConversationRows.latest", (sql) =>
          SqlSchema.findAll({
            Request: Schema.Int,
            Result: Row,
            execute: (count) => sql`
              select ${columns(sql)} from conversations
              where uid = ${uid} and ${before === undefined ? sql`true` : isBefore(sql, before)}
              order by created_at desc, seq desc limit ${count}`
          })(limit)
        )
        .pipe(Effect.catchTag("SchemaError", Effect.die))
    })
  })
})
