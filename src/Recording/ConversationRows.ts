/** Conversations in the database. */
import { Context, Effect, Layer, Option, Schema } from "effect"
import { SqlSchema } from "effect/sql"
import { Db, type DbError } from "../Db.ts"

const Row = Schema.Struct({
  id: Schema.String,
  seq: Schema.String,
  createdAt: Schema.Date,
  finishedAt: Schema.NullOr(Schema.Date)
})
export type ConversationRow = typeof Row.Type

export class ConversationRows extends Context.Service<
  ConversationRows,
  {
    /** Makes the row if it is missing. */
    ensure(uid: string, id: string): Effect.Effect<void, DbError>
    find(uid: string, id: string): Effect.Effect<Option.Option<ConversationRow>, DbError>
    /** Newest first; `before` is a `seq`. */
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
              select id, seq::text as seq, created_at as "createdAt", finished_at as "finishedAt"
              from conversations where uid = ${uid} and id = ${wanted}`
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
              select id, seq::text as seq, created_at as "createdAt", finished_at as "finishedAt"
              from conversations
              where uid = ${uid} and ${before === undefined ? sql`true` : sql`seq < ${before}::bigint`}
              order by conversations.seq desc limit ${count}`
          })(limit)
        )
        .pipe(Effect.catchTag("SchemaError", Effect.die))
    })
  })
})
