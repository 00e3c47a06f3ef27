/** Pages of an audio file's chunks, by position. */
import { Context, Effect, Layer, Schema } from "effect"
import { SqlSchema } from "effect/sql"
import { Db, type DbError } from "../../Db.ts"
import type { Chunk } from "../Chunk.ts"
import type { FileState } from "./IndexChange.ts"
import { type Name, PlacedColumns, placedColumns, placedOf } from "./IndexRows.ts"
import type { Placed } from "./LayoutMerge.ts"

const Row = Schema.Struct({
  revision: Schema.NullOr(Schema.Finite),
  rows: Schema.NullOr(Schema.Array(PlacedColumns))
})

export interface Page {
  /** Revision of the file's row at the time of the read; none if the file no longer exists. */
  readonly revision: number | undefined
  readonly rows: ReadonlyArray<Placed<Chunk>>
}

export class FileChunks extends Context.Service<
  FileChunks,
  {
    /** The first `limit` chunks (or one more) heard between positions `from` and `to`. */
    page(
      name: Name,
      file: FileState,
      range: { readonly from: number; readonly to: number },
      limit: number
    ): Effect.Effect<Page, DbError>
  }
>()("spillway/Recording/Catalog/FileChunks") {
  static readonly layer = Layer.effect(
    FileChunks,
    Effect.map(Db, (db) =>
      FileChunks.of({
        page: Effect.fn("FileChunks.page")(function* (name, file, { from, to }, limit) {
          const { conversation, uid } = name
          const row = yield* db
            .read("FileChunks.page", (sql) => {
              const heard = sql`
                select ${placedColumns(sql)} from chunks c
                where c.uid = ${uid} and c.conversation_id = ${conversation} and c.sample_rate = ${file.sampleRate}
                  and c.heard > 0 and (c.start_at, c.id) >= (${String(file.start)}::float8, ${file.firstId}::uuid)
                  and (c.start_at, c.id) <= (${String(file.lastStart)}::float8, ${file.lastId}::uuid)`
              return SqlSchema.findOne({
                Request: Schema.Void,
                Result: Row,
                execute: () => sql`
                  select
                    (
                      select f.revision::float8 from audio_files f
                      where f.uid = ${uid} and f.conversation_id = ${conversation}
                        and f.start_at = ${String(file.start)}::float8 and f.first_id = ${file.firstId}::uuid
                    ) as revision,
                    (
                      select json_agg(t) from (
                        (${heard} and c.at <= ${String(from)}::bigint order by c.at desc limit 1)
                        union all
                        (${heard} and c.at > ${String(from)}::bigint and c.at < ${String(to)}::bigint order by c.at limit ${limit})
                      ) t
                    ) as rows`
              })(undefined)
            })
            .pipe(Effect.catchTag(["SchemaError", "NoSuchElementError"], Effect.die))
          const placed = (row.rows ?? []).map((each) => placedOf(name, each))
          return {
            revision: row.revision ?? undefined,
            rows: placed.filter(({ placement: { at, heard } }) => at + heard > from)
          }
        })
      })
    )
  )
}
