/** Rows of chunks that are in the store already. */
import { createHash } from "node:crypto"
import { Context, Effect, Layer } from "effect"
import type { Span } from "../Audio.ts"
import { Db, type DbError } from "../Db.ts"

export interface ImportedChunk extends Span.Span {
  readonly conversation: string
  readonly codec: Span.Codec
  readonly key: string
  /** Of the object. */
  readonly bytes: number
  readonly crc32c: number
}

export class ImportRows extends Context.Service<
  ImportRows,
  {
    /** Leaves out what has a row already, by its key; answers how many rows are new. Conversations are made as needed. */
    insert(uid: string, chunks: ReadonlyArray<ImportedChunk>): Effect.Effect<number, DbError>
  }
>()("spillway/Recording/ImportRows") {
  static readonly layer = Layer.effect(
    ImportRows,
    Effect.suspend(() => make)
  )
}

/** A UUID of version 8 (RFC 9562, section 5.8), from the key: the same at every import. */
const idOf = (key: string): string => {
  const hex = createHash("sha256").update(key).digest("hex")
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

const make = Effect.gen(function* () {
  const db = yield* Db
  return ImportRows.of({
    insert: Effect.fn("ImportRows.insert")(function* (uid, chunks) {
      if (chunks.length === 0) return 0
      // The client takes the type of an array from its numbers, and refuses one that has whole and broken or large ones.
      const texts = (number: (chunk: ImportedChunk) => number) => chunks.map((chunk) => String(number(chunk)))
      const rows = yield* db.writeIdempotent(
        "ImportRows.insert",
        (sql) => sql`
          with wanted as (
            select * from unnest(
              ${chunks.map((c) => c.conversation)}::text[], ${texts((c) => c.start)}::text[]::float8[],
              ${chunks.map((c) => idOf(c.key))}::uuid[], ${texts((c) => c.samples)}::text[]::bigint[],
              ${texts((c) => c.sampleRate)}::text[]::int[], ${chunks.map((c) => c.codec)}::text[],
              ${chunks.map((c) => c.key)}::text[], ${texts((c) => c.bytes)}::text[]::bigint[],
              ${texts((c) => c.crc32c)}::text[]::bigint[]
            ) as w(conversation_id, start_at, id, samples, sample_rate, codec, object_key, bytes, crc32c)
          ), conversation as (
            insert into conversations (uid, id, created_at)
            select ${uid}, conversation_id, to_timestamp(min(start_at)) from wanted group by conversation_id
            order by min(start_at)
            on conflict do nothing
          )
          insert into chunks
            (uid, conversation_id, start_at, id, samples, sample_rate, codec, object_key, bytes, crc32c)
          select ${uid}, conversation_id, start_at, id, samples, sample_rate, codec, object_key, bytes, crc32c
          from wanted
          where not exists (
            select from chunks c
            where c.uid = ${uid} and c.conversation_id = wanted.conversation_id and c.object_key = wanted.object_key
          )
          on conflict do nothing
          returning 1`
      )
      return rows.length
    })
  })
})
