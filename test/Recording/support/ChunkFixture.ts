/** Rows of chunks without audio, for tests of what refers to their objects. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export interface Fixture {
  readonly uid: string
  readonly conversation: string
  /** Unix second. */
  readonly start: number
}

export const keyOf = ({ conversation, start, uid }: Fixture) =>
  `chunks/${uid}/${conversation}/${start.toFixed(3)}.batch.bin`

export const insertChunks = (chunks: ReadonlyArray<Fixture>) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = JSON.stringify(chunks.map((chunk) => ({ ...chunk, key: keyOf(chunk) })))
    yield* sql`
      INSERT INTO conversations (uid, id)
      SELECT DISTINCT uid, "conversation" FROM json_to_recordset(${rows}::json) AS w(uid text, "conversation" text)
      ON CONFLICT DO NOTHING`
    yield* sql`
      INSERT INTO chunks
        (uid, conversation_id, start_at, id, samples, sample_rate, codec, object_key, bytes, crc32c, begins, at, skip, heard,
         lost_samples, heard_end, end_at)
      SELECT uid, "conversation", start, gen_random_uuid(), 8000, 8000, 'pcm16', key, 16000, 0, true, start * 8000, 0, 8000,
             0, start * 8000 + 8000, start * 8000 + 8000
      FROM json_to_recordset(${rows}::json) AS w(uid text, "conversation" text, start float8, key text)`
  })
