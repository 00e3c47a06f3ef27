/** Conversations that are being recorded, until no audio was stored for a while. The index writes a row with the first chunk. */
import { Context, Effect, Layer, Schema } from "effect"
import * as Claims from "../Claims.ts"
import { Db, type DbError, intervalOf } from "../Db.ts"
import { Recording } from "../Recording.ts"
import { Storage } from "../Storage.ts"
import { ArtifactRows } from "./ArtifactRows.ts"
import { PrecacheConfig } from "./PrecacheConfig.ts"

export class ConversationEnds extends Context.Service<
  ConversationEnds,
  {
    /** Requests the audio of conversations that have ended, a bounded number; returns how many it has checked. */
    readonly settle: Effect.Effect<number, DbError>
    /** The conversation has ended now: requests what `settle` would. Joins a transaction. */
    end(uid: string, conversation: string): Effect.Effect<void, DbError>
  }
>()("spillway/Precache/ConversationEnds") {
  static readonly layer = Layer.effect(
    ConversationEnds,
    Effect.suspend(() => make)
  )
}

const Columns = Schema.Struct({
  uid: Schema.String,
  conversation_id: Schema.String,
  from_start: Schema.Finite,
  is_quiet: Schema.Boolean
})

const table: Claims.Table<typeof Columns.Type> = {
  name: "conversation_ends",
  idType: "bigint",
  columns: ["uid", "conversation_id", "from_start", "is_quiet"],
  schema: Columns
}

const decodeEnded = Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ from: Schema.Finite })))

const make = Effect.gen(function* () {
  const db = yield* Db
  const recording = yield* Recording
  const rows = yield* ArtifactRows
  const storage = yield* Storage
  const config = yield* PrecacheConfig
  const claims = yield* Claims.make(table)
  const isWanted = config.when === "finished" && storage.isComposer

  /** A chunk that is stored meanwhile makes the row unquiet, and it stays. */
  const end = (
    id: string,
    token: string,
    { conversation_id: conversation, from_start: from, uid }: typeof Columns.Type
  ) =>
    db.transactionIdempotent("ConversationEnds.end", (sql) =>
      Effect.gen(function* () {
        const ended = yield* sql`
          DELETE FROM conversation_ends WHERE id = ${id}::bigint AND token = ${token}::uuid AND is_quiet RETURNING 1`
        if (ended.length > 0 && isWanted) yield* rows.suggest({ uid, conversation, from })
      })
    )

  const wait = (token: string, ids: ReadonlyArray<string>) =>
    db.writeIdempotent("ConversationEnds.wait", (sql) =>
      Effect.asVoid(sql`
        UPDATE conversation_ends
        SET is_quiet = true, token = NULL, due_at = now() + ${intervalOf(config.quiet)}::interval
        WHERE id = ANY(${ids}::bigint[]) AND token = ${token}::uuid`)
    )

  return ConversationEnds.of({
    end: (uid, conversation) =>
      db.transactionIdempotent("ConversationEnds.endNow", (sql) =>
        Effect.gen(function* () {
          const ended = yield* sql`
            DELETE FROM conversation_ends WHERE uid = ${uid} AND conversation_id = ${conversation}
            RETURNING from_start AS "from"`.pipe(
            Effect.flatMap(decodeEnded),
            Effect.catchTag("SchemaError", Effect.die)
          )
          for (const { from } of isWanted ? ended : []) yield* rows.suggest({ uid, conversation, from })
        })
      ),
    settle: Effect.gen(function* () {
      const { rows: claimed, token } = yield* claims.claim(Claims.maxClaimed)
      const isLive = yield* Effect.forEach(claimed, ({ columns: { conversation_id: conversation, uid } }) =>
        recording.isLive({ uid, conversation })
      )
      const isOver = claimed.map(({ columns }, n) => columns.is_quiet && isLive[n] !== true)
      yield* wait(
        token,
        claimed.filter((_, n) => isOver[n] !== true).map(({ id }) => id)
      )
      for (const { columns, id } of claimed.filter((_, n) => isOver[n])) yield* end(id, token, columns)
      return claimed.length
    })
  })
})
