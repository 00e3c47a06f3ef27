/** Positions and layout states of chunks, rows for audio files, totals of conversations. Replaces stored layouts and triggers. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { Placement, type Span, Timeline } from "../../Audio.ts"

/** Rows per read and write. */
const batch = 1_000

interface Row {
  readonly start: number
  readonly id: string
  readonly samples: number
  readonly sampleRate: number
  readonly codec: Span.Codec
  readonly state: "stored" | "lost"
}

interface File {
  readonly start_at: number
  readonly first_id: string
  readonly id: string
  readonly sample_rate: number
  readonly codec: string
  end_at: number
  captured: number
  lost: number
  chunks: number
  last_start: number
  last_id: string
}

/** The longest gap in an audio file when this was written. */
const gapSeconds = 90

const schema = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`DROP TRIGGER chunks_added ON chunks`
  yield* sql`DROP TRIGGER chunks_removed ON chunks`
  yield* sql`DROP FUNCTION count_chunks()`
  yield* sql`DROP FUNCTION discount_chunks()`
  yield* sql`DROP TABLE timelines`
  // A chunk without samples has no position. None was ever written.
  yield* sql`DELETE FROM chunks WHERE samples = 0`
  // Positions are samples since the Unix epoch at the chunk's rate. `end_at`, `heard_end`, `pending`: the layout state after the chunk.
  yield* sql`
    ALTER TABLE chunks
      ADD COLUMN begins boolean, ADD COLUMN at bigint, ADD COLUMN skip bigint, ADD COLUMN heard bigint,
      ADD COLUMN lost_samples bigint, ADD COLUMN heard_end bigint, ADD COLUMN end_at bigint, ADD COLUMN pending text`
  // Contains the chunks from the first to the last in the order of the primary key of chunks.
  yield* sql`
    CREATE TABLE audio_files (
      uid text NOT NULL,
      conversation_id text NOT NULL,
      start_at double precision NOT NULL,
      first_id uuid NOT NULL,
      id uuid NOT NULL,
      sample_rate integer NOT NULL,
      codec text NOT NULL,
      end_at bigint NOT NULL,
      captured bigint NOT NULL,
      lost bigint NOT NULL,
      chunks bigint NOT NULL,
      last_start double precision NOT NULL,
      last_id uuid NOT NULL,
      revision bigint NOT NULL DEFAULT 0,
      ends double precision GENERATED ALWAYS AS (start_at + (end_at - round(start_at * sample_rate)) / sample_rate) STORED,
      PRIMARY KEY (uid, conversation_id, start_at, first_id),
      FOREIGN KEY (uid, conversation_id) REFERENCES conversations (uid, id) ON DELETE CASCADE
    )`
  yield* sql`
    ALTER TABLE conversations
      ADD COLUMN files bigint NOT NULL DEFAULT 0, ADD COLUMN captured double precision NOT NULL DEFAULT 0,
      ADD COLUMN lost double precision NOT NULL DEFAULT 0, ADD COLUMN revision bigint NOT NULL DEFAULT 0`
})

const constraints = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  // Nodes of the previous release can no longer insert; their recordings wait in the journals until they are upgraded.
  yield* sql`
    ALTER TABLE chunks
      ALTER COLUMN begins SET NOT NULL, ALTER COLUMN at SET NOT NULL, ALTER COLUMN skip SET NOT NULL,
      ALTER COLUMN heard SET NOT NULL, ALTER COLUMN lost_samples SET NOT NULL, ALTER COLUMN heard_end SET NOT NULL,
      ALTER COLUMN end_at SET NOT NULL, ADD CHECK (samples > 0)`
  yield* sql`CREATE INDEX chunks_heard ON chunks (uid, conversation_id, sample_rate, at) WHERE heard > 0`
  yield* sql`CREATE INDEX chunks_lost ON chunks (uid, conversation_id, start_at) WHERE lost`
  yield* sql`CREATE INDEX audio_files_id ON audio_files (uid, conversation_id, id)`
  yield* sql`CREATE INDEX audio_files_end ON audio_files (uid, conversation_id, ends)`
})

const fill = Effect.fnUntraced(function* (uid: string, conversation: string) {
  const sql = yield* SqlClient.SqlClient
  let [start, id] = ["-Infinity", "00000000-0000-0000-0000-000000000000"]
  let state: Placement.State | undefined
  let file: File | undefined
  const sums = { chunks: 0, files: 0, captured: 0, lost: 0 }
  for (;;) {
    const rows: ReadonlyArray<Row> = yield* sql<Row>`
      SELECT start_at AS start, id::text AS id, samples::float8 AS samples, sample_rate AS "sampleRate", codec,
             CASE WHEN lost THEN 'lost' ELSE 'stored' END AS state
      FROM chunks
      WHERE uid = ${uid} AND conversation_id = ${conversation} AND (start_at, id) > (${start}::float8, ${id}::uuid)
      ORDER BY start_at, id LIMIT ${batch}`
    const placed: Array<unknown> = []
    const files: Array<File> = []
    for (const row of rows) {
      const placement: Placement.Placement = Placement.place(state, row, gapSeconds)
      const { at, begins, heard, lost, skip } = placement
      state = placement.state
      if (begins || file === undefined) {
        if (file !== undefined) files.push(file)
        const { codec, sampleRate } = row
        file = {
          start_at: row.start,
          first_id: row.id,
          id: Timeline.fileId(uid, conversation, row),
          sample_rate: sampleRate,
          codec,
          end_at: 0,
          captured: 0,
          lost: 0,
          chunks: 0,
          last_start: 0,
          last_id: ""
        }
        sums.files++
      }
      file = {
        ...file,
        end_at: state.end,
        captured: file.captured + heard,
        lost: file.lost + lost,
        chunks: file.chunks + 1,
        last_start: row.start,
        last_id: row.id
      }
      sums.chunks++
      sums.captured += heard / row.sampleRate
      sums.lost += lost / row.sampleRate
      const pending = state.pending.length > 0 ? JSON.stringify(state.pending) : null
      const after = { heard_end: state.heard, end_at: state.end, pending }
      placed.push({ start_at: row.start, id: row.id, begins, at, skip, heard, lost_samples: lost, ...after })
    }
    yield* sql`
      UPDATE chunks c
      SET begins = w.begins, at = w.at, skip = w.skip, heard = w.heard, lost_samples = w.lost_samples,
          heard_end = w.heard_end, end_at = w.end_at, pending = w.pending
      FROM json_to_recordset(${JSON.stringify(placed)}::json) AS w(
        start_at float8, id uuid, begins boolean, at bigint, skip bigint, heard bigint, lost_samples bigint,
        heard_end bigint, end_at bigint, pending text
      )
      WHERE c.uid = ${uid} AND c.conversation_id = ${conversation} AND c.start_at = w.start_at AND c.id = w.id`
    const last = rows.length < batch ? undefined : rows.at(-1)
    if (last === undefined && file !== undefined) files.push(file)
    yield* sql`
      INSERT INTO audio_files
        (uid, conversation_id, start_at, first_id, id, sample_rate, codec, end_at, captured, lost, chunks, last_start,
         last_id)
      SELECT ${uid}, ${conversation}, w.*
      FROM json_to_recordset(${JSON.stringify(files)}::json) AS w(
        start_at float8, first_id uuid, id uuid, sample_rate int, codec text, end_at bigint, captured bigint, lost bigint,
        chunks bigint, last_start float8, last_id uuid
      )`
    if (last === undefined) break
    start = String(last.start)
    id = last.id
  }
  yield* sql`
    UPDATE conversations
    SET chunks = ${sums.chunks}::float8::bigint, files = ${sums.files}::float8::bigint,
        captured = ${sums.captured}::float8, lost = ${sums.lost}::float8
    WHERE uid = ${uid} AND id = ${conversation}`
})

export const index = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* schema
  let [uid, id] = ["", ""]
  for (;;) {
    const conversations: ReadonlyArray<{ readonly uid: string; readonly id: string }> = yield* sql<{
      readonly uid: string
      readonly id: string
    }>`SELECT uid, id FROM conversations WHERE (uid, id) > (${uid}, ${id}) ORDER BY uid, id LIMIT ${batch}`
    for (const each of conversations) yield* fill(each.uid, each.id)
    const last = conversations.at(-1)
    if (last === undefined) break
    uid = last.uid
    id = last.id
  }
  yield* constraints
})
