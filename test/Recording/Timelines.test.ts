/** The audio files in a list are those of all chunks, however few of them were looked at. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { Timeline } from "../../src/Audio.ts"
import type { Chunk } from "../../src/Recording.ts"
import { ConversationRows } from "../../src/Recording/ConversationRows.ts"
import { Timelines } from "../../src/Recording/Timelines.ts"
import { Overlapping, overlapping } from "../Audio/support/Cuts.ts"
import * as Postgres from "../support/Postgres.ts"

const world = Layer.mergeAll(
  Timelines.layerWith({ firstPage: 3, nextPage: 4, keepEvery: 2 }),
  ConversationRows.layer
).pipe(Layer.provideMerge(Postgres.layer))

const gap = 0.02

let made = 0
const fresh = () => `c${++made}`

const uuid = (index: number) => `00000000-0000-4000-8000-${String(index).padStart(12, "0")}`

/** A chunk of the timeline as one that is stored, or lost. */
const chunkOf = (conversation: string, cut: Timeline.TimelineChunk, index: number): Chunk => ({
  id: uuid(index),
  uid: "u",
  conversation,
  start: cut.start,
  samples: cut.samples,
  sampleRate: cut.sampleRate,
  codec: cut.codec,
  state: cut.state === "lost" ? "lost" : "stored",
  key: `k${index}`
})

const insert = ({ codec, conversation, id, key, sampleRate, samples, start, state, uid }: Chunk) =>
  SqlClient.SqlClient.use(
    (sql) => sql`
      insert into chunks (uid, conversation_id, start_at, id, samples, sample_rate, codec, object_key, crc32c, lost)
      values (${uid}, ${conversation}, ${start}::float8, ${id}::uuid, ${samples}, ${sampleRate}, ${codec}, ${key}, 1,
              ${state === "lost"})`
  )

const list = Effect.fnUntraced(function* (conversation: string, live: ReadonlyArray<Chunk> = [], gapSeconds = gap) {
  const timelines = yield* Timelines
  const [files] = yield* timelines.of("u", [{ id: conversation, live }], gapSeconds)
  return files ?? []
})

const summaries = (chunks: ReadonlyArray<Chunk>, gapSeconds = gap) =>
  Timeline.layout(chunks, gapSeconds).map(
    ({ capturedSamples, codec, lostSamples, sampleRate, samples, start }): Timeline.Summary => ({
      start,
      sampleRate,
      codec,
      samples,
      capturedSamples,
      lostSamples
    })
  )

const keptCount = Effect.fnUntraced(function* (conversation: string) {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ readonly count: number }>`
    select (state::json ->> 'count')::int as count from timelines where uid = 'u' and conversation_id = ${conversation}`
  return rows[0]?.count
})

/** Seconds of 8 kHz, one after the other. */
const seconds = (conversation: string, ...starts: ReadonlyArray<number>) =>
  starts.map((start) => chunkOf(conversation, { start, samples: 8000, sampleRate: 8000, codec: "pcm16" }, start))

layer(world, { excludeTestServices: true })("a timeline", (it) => {
  it.effect.prop(
    "is that of all chunks, in whatever order they are stored, and whatever is live meanwhile",
    {
      options: Overlapping,
      /** After this many of them it is listed. */
      listed: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 25 }))).check(
        Schema.isMaxLength(4)
      ),
      live: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 24 }))).check(Schema.isMaxLength(4))
    },
    Effect.fnUntraced(function* ({ listed, live, options }) {
      const conversation = fresh()
      yield* ConversationRows.use((rows) => rows.ensure("u", conversation))
      const chunks = overlapping(options).chunks.map((cut, index) => chunkOf(conversation, cut, index))
      for (let stored = 0; stored <= chunks.length; stored++) {
        const chunk = chunks[stored]
        if (stored === chunks.length || listed.includes(stored)) {
          const more = live.flatMap((index) => {
            const waiting = chunks[index]
            return index >= stored && waiting?.state === "stored" ? [{ ...waiting, state: "sealed" as const }] : []
          })
          const distinct = [...new Map(more.map((each) => [each.id, each])).values()]
          const all = [...chunks.slice(0, stored), ...distinct]
          // Another node does not know what is live here.
          if (stored % 2 === 0) assert.deepStrictEqual(yield* list(conversation), summaries(chunks.slice(0, stored)))
          assert.deepStrictEqual(yield* list(conversation, distinct), summaries(all))
          assert.deepStrictEqual(yield* list(conversation, distinct), summaries(all), "again")
        }
        if (chunk !== undefined) yield* insert(chunk)
      }
    }),
    { arbitrary: { runs: 60 } }
  )

  it.effect("is kept, and gone on with", () =>
    Effect.gen(function* () {
      const conversation = fresh()
      yield* ConversationRows.use((rows) => rows.ensure("u", conversation))
      const chunks = seconds(conversation, ...Array.from({ length: 20 }, (_, index) => index))
      yield* Effect.forEach(chunks.slice(0, 10), insert)
      yield* list(conversation)
      assert.strictEqual(yield* keptCount(conversation), 10)
      yield* Effect.forEach(chunks.slice(10, 11), insert)
      yield* list(conversation)
      assert.strictEqual(yield* keptCount(conversation), 10, "for one chunk it is not worth it")
      yield* Effect.forEach(chunks.slice(11), insert)
      assert.deepStrictEqual(yield* list(conversation), summaries(chunks))
      assert.strictEqual(yield* keptCount(conversation), 20)
    })
  )

  it.effect("is not kept beyond what is live, because that is stored later", () =>
    Effect.gen(function* () {
      const conversation = fresh()
      yield* ConversationRows.use((rows) => rows.ensure("u", conversation))
      const chunks = seconds(conversation, ...Array.from({ length: 12 }, (_, index) => index))
      const [late, ...others] = [chunks[6], ...chunks.filter((_, index) => index !== 6)]
      if (late === undefined) return assert.fail("no chunk")
      yield* Effect.forEach(others, insert)
      const waiting = [{ ...late, state: "sealed" as const }]
      assert.deepStrictEqual(yield* list(conversation, waiting), summaries(chunks))
      assert.strictEqual(yield* keptCount(conversation), 6)
      yield* insert(late)
      assert.deepStrictEqual(yield* list(conversation, waiting), summaries(chunks), "it was live when it was looked at")
      assert.deepStrictEqual(yield* list(conversation), summaries(chunks))
      assert.strictEqual(yield* keptCount(conversation), 12)
    })
  )

  it.effect("takes what was given up for lost, although it was live when it was looked at", () =>
    Effect.gen(function* () {
      const conversation = fresh()
      yield* ConversationRows.use((rows) => rows.ensure("u", conversation))
      const chunks = seconds(conversation, 0, 1, 2, 3, 4).map((chunk) =>
        chunk.start === 2 ? { ...chunk, state: "lost" as const } : chunk
      )
      yield* Effect.forEach(chunks, insert)
      const live = chunks.filter(({ start }) => start === 2).map((chunk) => ({ ...chunk, state: "sealed" as const }))
      const [file] = yield* list(conversation, live)
      assert.deepStrictEqual([file?.capturedSamples, file?.lostSamples], [32_000, 8000])
    })
  )

  it.effect("takes chunks that begin together in the order of the layout, over several pages", () =>
    Effect.gen(function* () {
      const conversation = fresh()
      yield* ConversationRows.use((rows) => rows.ensure("u", conversation))
      const chunks = [5, 1, 4, 9, 4, 2, 7, 4, 3, 6].map((length, index) =>
        chunkOf(
          conversation,
          // Other rates are files of their own, so that the order shows.
          { start: index < 8 ? 1 : 1.5, samples: length * 8000, sampleRate: 8000 + (index % 3), codec: "pcm16" },
          index
        )
      )
      for (const chunk of chunks) {
        yield* insert(chunk)
        yield* list(conversation)
      }
      assert.deepStrictEqual(yield* list(conversation), summaries(chunks))
    })
  )

  it.effect("is laid out anew for another gap, after a chunk that comes between, and after one that is deleted", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const conversation = fresh()
      yield* ConversationRows.use((rows) => rows.ensure("u", conversation))
      const chunks = seconds(conversation, 0, 1, 5, 6, 20, 30)
      yield* Effect.forEach(chunks, insert)
      assert.lengthOf(yield* list(conversation, [], 90), 1)
      assert.lengthOf(yield* list(conversation, [], 5), 3)
      const between = seconds(conversation, 3)
      yield* Effect.forEach(between, insert)
      assert.deepStrictEqual(yield* list(conversation, [], 5), summaries([...chunks, ...between], 5))
      assert.strictEqual(yield* keptCount(conversation), 7)
      yield* sql`delete from chunks where conversation_id = ${conversation} and start_at = 1`
      const left = [...chunks, ...between].filter(({ start }) => start !== 1)
      assert.deepStrictEqual(yield* list(conversation, [], 5), summaries(left, 5))
      yield* sql`delete from conversations where id = ${conversation}`
      assert.isUndefined(yield* keptCount(conversation))
      assert.deepStrictEqual(yield* list(conversation), [])
    })
  )

  it.effect("is each conversation's own, in the order asked for", () =>
    Effect.gen(function* () {
      const timelines = yield* Timelines
      const [one, empty, two] = [fresh(), fresh(), fresh()]
      yield* Effect.forEach([one, empty, two], (id) => ConversationRows.use((rows) => rows.ensure("u", id)))
      yield* Effect.forEach([...seconds(one, 1, 2, 3, 4, 5, 6, 7, 8, 9), ...seconds(two, 100)], insert)
      const live = seconds(empty, 50)
      const asked = [
        { id: two, live: [] },
        { id: empty, live },
        { id: "unknown", live: [] },
        { id: one, live: [] }
      ]
      const files = yield* timelines.of("u", asked, gap)
      assert.deepStrictEqual(
        files.map((each) => each.map(({ samples, start }) => [start, samples])),
        [[[100, 8000]], [[50, 8000]], [], [[1, 72_000]]]
      )
      assert.deepStrictEqual(yield* timelines.of("somebody-else", asked.slice(0, 1), gap), [[]])
    })
  )
})
