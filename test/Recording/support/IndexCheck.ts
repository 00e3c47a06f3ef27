/** Compares the index in the database with the layout of all chunks. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { Placement, Timeline } from "../../../src/Audio.ts"
import type { NewChunk } from "../../../src/Recording/Catalog/ChunkIndex.ts"

/** All rows of a conversation. */
const indexOf = Effect.fnUntraced(function* (conversation: string) {
  const sql = yield* SqlClient.SqlClient
  const files = yield* sql<Record<string, unknown>>`
    select id::text as id, start_at as start, sample_rate as "sampleRate", codec, end_at::float8 as "end",
           captured::float8 as captured, lost::float8 as lost, chunks::float8 as chunks
    from audio_files where conversation_id = ${conversation} order by start_at, first_id`
  const chunks = yield* sql<Record<string, unknown>>`
    select id::text as id, at::float8 as at, skip::float8 as skip, heard::float8 as heard, crc32c::float8 as crc32c
    from chunks where conversation_id = ${conversation} order by start_at, id`
  const [sums] = yield* sql<{ chunks: number; files: number; captured: number; lost: number }>`
    select chunks::float8 as chunks, files::float8 as files, captured, lost from conversations where id = ${conversation}`
  return { files, chunks, sums }
})

/** The same, from the layout of all chunks. */
const expected = (conversation: string, all: ReadonlyArray<NewChunk>, gapSeconds: number) => {
  const files = Timeline.layout(all, gapSeconds)
  const pieces = new Map(
    files.flatMap((file) =>
      file.pieces.map(({ chunk, offset, samples, skip }) => {
        const at = Placement.positionOf(file.start, file.sampleRate) + offset
        return [chunk.id, { at, skip, heard: samples }] as const
      })
    )
  )
  return {
    files: files.map((file) => ({
      id: Timeline.fileId("u", conversation, file),
      start: file.start,
      sampleRate: file.sampleRate,
      codec: file.codec,
      end: Placement.positionOf(file.start, file.sampleRate) + file.samples,
      captured: file.capturedSamples,
      lost: file.lostSamples
    })),
    chunks: all.map(({ id, object }) => ({ id, heard: 0, ...pieces.get(id), crc32c: object?.crc32c ?? null })),
    sums: {
      chunks: all.length,
      files: files.length,
      captured: files.reduce((sum, { capturedSamples, sampleRate }) => sum + capturedSamples / sampleRate, 0),
      lost: files.reduce((sum, { lostSamples, sampleRate }) => sum + lostSamples / sampleRate, 0)
    }
  }
}

/** Of user `u`. */
export const checkIndex = Effect.fnUntraced(function* (
  conversation: string,
  all: ReadonlyArray<NewChunk>,
  gapSeconds: number,
  message: string
) {
  const found = yield* indexOf(conversation)
  const right = expected(conversation, all, gapSeconds)
  assert.deepStrictEqual(
    found.files.map((file) => ({ ...file, chunks: undefined })),
    right.files.map((file) => ({ ...file, chunks: undefined })),
    message
  )
  const heard = found.chunks.map(({ at, skip, ...row }) => (row["heard"] === 0 ? row : { ...row, at, skip }))
  assert.deepStrictEqual(heard, right.chunks, message)
  assert.deepStrictEqual([found.sums?.chunks, found.sums?.files], [right.sums.chunks, right.sums.files], message)
  assert.closeTo(found.sums?.captured ?? -1, right.sums.captured, 1e-6, message)
  assert.closeTo(found.sums?.lost ?? -1, right.sums.lost, 1e-6, message)
  assert.strictEqual(
    found.files.reduce((sum, { chunks }) => sum + Number(chunks), 0),
    all.length,
    message
  )
})
