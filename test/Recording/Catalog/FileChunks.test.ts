/** The chunks of a range are those of the index at the time of the read, whatever was read before. */
import { assert, it, layer } from "@effect/vitest"
import { Clock, Effect, Layer, Option } from "effect"
import { SqlClient } from "effect/sql"
import { Placement } from "../../../src/Audio.ts"
import * as ChunkPages from "../../../src/Recording/Catalog/ChunkPages.ts"
import { ChunkIndex } from "../../../src/Recording/Catalog/ChunkIndex.ts"
import { FileChunks } from "../../../src/Recording/Catalog/FileChunks.ts"
import { fileColumns, type FileRow } from "../../../src/Recording/Catalog/IndexRows.ts"
import * as Postgres from "../../support/Postgres.ts"
import * as StillClock from "../../support/StillClock.ts"
import { seed } from "../../support/Seed.ts"
import { arrivals, gapSeconds, random } from "../support/Arrivals.ts"

const world = Layer.merge(
  ChunkIndex.layerWith({ gapSeconds, firstPage: 2, nextPage: 3, most: Infinity }),
  FileChunks.layer
).pipe(Layer.provideMerge(Postgres.layer))

const runs = 3
const rangesPerFile = 6

const filesOf = Effect.fnUntraced(function* (conversation: string) {
  const sql = yield* SqlClient.SqlClient
  return yield* sql<FileRow>`select ${fileColumns(sql)} from audio_files f where conversation_id = ${conversation}`
})

/** Those heard between two positions. */
const heard = ({ rows }: ChunkPages.Page, { from, to }: ChunkPages.SampleRange) =>
  rows
    .filter(({ placement: { at, heard } }) => at < to && at + heard > from)
    .map(({ chunk, placement: { at, heard, skip } }) => ({ id: chunk.id, at, heard, skip }))

layer(world, { excludeTestServices: true })("the chunks of a range", (it) => {
  it.effect("are those of the index after every arrival", () =>
    Effect.gen(function* () {
      const [index, chunks] = [yield* ChunkIndex, yield* FileChunks]
      let kept = 0
      for (let run = 0; run < runs; run++) {
        const next = random(seed + run)
        const name = { uid: "u", conversation: `c${run}` }
        for (const batch of arrivals(seed + run, 3 + Math.floor(next() * 60))) {
          yield* index.insert(name, batch)
          chunks.forget(name)
          for (const { id, ...file } of yield* filesOf(name.conversation)) {
            const origin = Placement.positionOf(file.start, file.sampleRate)
            const size = file.endAt - origin
            for (let count = 0; count < rangesPerFile; count++) {
              const from = Math.floor(next() * size)
              const to = Math.min(size, from + 1 + Math.floor(next() * file.sampleRate))
              const range = { from: origin + from, to: origin + to }
              const { near } = Option.getOrThrow(yield* chunks.open(name, id, { from: from - 1, to: to + 1 }))
              if (near === undefined || near.from > from || near.to < to) continue
              if (ChunkPages.isFull(near.page)) continue
              const now = yield* chunks.page(name, file, range)
              assert.deepStrictEqual(heard(near.page, range), heard(now, range), `seed ${seed + run}`)
              kept++
            }
          }
        }
      }
      assert.isAbove(kept, 100)
    })
  )
})

const recorded = (conversation: string) =>
  Effect.gen(function* () {
    const [index, sql] = [yield* ChunkIndex, yield* SqlClient.SqlClient]
    const insert = (start: number, digit: number) => {
      const id = `00000000-0000-4000-8000-00000000000${digit}`
      return index.insert({ uid: "u", conversation }, [
        {
          id,
          start,
          samples: 8000,
          sampleRate: 8000,
          codec: "pcm16",
          state: "stored",
          key: id,
          object: { bytes: 16_000, crc32c: 0 }
        }
      ])
    }
    yield* insert(10, 1)
    yield* insert(11, 2)
    const [file] = yield* filesOf(conversation)
    return { insert, sql, id: file?.id ?? "", name: { uid: "u", conversation } }
  })

it.live("has the changes of other nodes a second later, and those of its own at once", () =>
  Effect.gen(function* () {
    const { advance, clock } = yield* StillClock.make
    yield* Effect.gen(function* () {
      const { id, insert, name, sql } = yield* recorded("other")
      const chunks = yield* FileChunks
      const near = { from: 100, to: 200 }
      const open = (range?: ChunkPages.SampleRange) => chunks.open(name, id, range)
      const revision = Effect.map(open(near), (found) => Option.getOrThrow(found).file.revision)
      const first = yield* revision
      advance(999)
      yield* insert(10.5, 3)
      assert.strictEqual(yield* revision, first)
      advance(2)
      const changed = yield* revision
      assert.notStrictEqual(changed, first)
      // Page and row are read together.
      yield* open(near)
      yield* insert(12, 4)
      const grown = Option.getOrThrow(yield* open({ from: 100, to: 3 * 8000 }))
      assert.strictEqual(grown.file.endAt, 13 * 8000)
      yield* insert(11.7, 5)
      assert.strictEqual(yield* revision, changed)
      chunks.forget(name)
      assert.notStrictEqual(yield* revision, changed)
      yield* open(near)
      yield* sql`delete from audio_files where conversation_id = 'other'`
      assert.isTrue(Option.isSome(yield* open(near)))
      assert.isTrue(Option.isNone(yield* open()))
      advance(1_001)
      assert.isTrue(Option.isNone(yield* open(near)))
    }).pipe(Effect.provide(Layer.fresh(world).pipe(Layer.provide(Layer.succeed(Clock.Clock, clock)))))
  }).pipe(Effect.scoped)
)

const file: FileRow = {
  start: 1,
  firstId: "a",
  id: "f",
  sampleRate: 8000,
  codec: "pcm16",
  endAt: 8000 + 80_000,
  captured: 80_000,
  lost: 0,
  chunks: 10,
  lastStart: 9,
  lastId: "z",
  revision: 1
}
const name = { uid: "u", conversation: "c" }
const page = { revision: 1, rows: [] }

it("reads the file's row alone for a range in a page that was read before", () => {
  const pages = ChunkPages.make()
  const first = pages.readFor(name, "f", { from: 100, to: 200 })
  assert.isDefined(first.range)
  first.found(file, page)
  const second = pages.readFor(name, "f", { from: 60_000, to: 70_000 })
  assert.isUndefined(second.range)
  assert.strictEqual(second.found(file, { revision: 1, rows: [] })?.page, page)
})

it("reads the chunks again when the file has another revision or another first chunk", () => {
  for (const changed of [
    { ...file, revision: 2 },
    { ...file, firstId: "b" }
  ]) {
    const pages = ChunkPages.make()
    pages.readFor(name, "f", { from: 100, to: 200 }).found(file, page)
    assert.isUndefined(pages.readFor(name, "f", { from: 100, to: 200 }).found(changed, { revision: 2, rows: [] }))
    assert.isDefined(pages.readFor(name, "f", { from: 100, to: 200 }).range)
  }
})

it("reads the file's row alone for its last samples", () => {
  const pages = ChunkPages.make()
  pages.readFor(name, "f", { from: 100, to: 80_041 }).found(file, page)
  assert.isUndefined(pages.readFor(name, "f", { from: 70_000, to: 80_041 }).range)
})

it("reads what the file has grown by", () => {
  const pages = ChunkPages.make()
  pages.readFor(name, "f", { from: 100, to: 200 }).found(file, page)
  assert.isDefined(pages.readFor(name, "f", { from: 79_990, to: 80_100 }).range)
})

it("keeps one page for ranges that are read in turn", () => {
  const pages = ChunkPages.make()
  const ranges = [
    { from: 70_000, to: 70_100 },
    { from: 100, to: 200 }
  ]
  for (const range of ranges) pages.readFor(name, "f", range).found(file, page)
  for (const range of ranges) assert.isUndefined(pages.readFor(name, "f", range).range)
})

it("keeps a bounded number of pages", () => {
  const pages = ChunkPages.make(2)
  for (const id of ["a", "b", "c"]) pages.readFor(name, id, { from: 100, to: 200 }).found(file, page)
  assert.isDefined(pages.readFor(name, "a", { from: 100, to: 200 }).range)
  assert.isUndefined(pages.readFor(name, "c", { from: 100, to: 200 }).range)
})
