/** Lists and reads of a conversation follow the layout of all its chunks, stored and live. */
import { assert, it, layer } from "@effect/vitest"
import { Clock, Deferred, Effect, Layer, Option, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { Timeline } from "../../../src/Audio.ts"
import { type AudioFileChanged, type RecordedFile, Recording } from "../../../src/Recording.ts"
import { Catalog } from "../../../src/Recording/Catalog/Catalog.ts"
import { ChunkIndex } from "../../../src/Recording/Catalog/ChunkIndex.ts"
import { ChunkRows } from "../../../src/Recording/Catalog/ChunkRows.ts"
import { ConversationRows } from "../../../src/Recording/Catalog/ConversationRows.ts"
import type { NewChunk } from "../../../src/Recording/Catalog/ChunkIndex.ts"
import { JournalChunk } from "../../../src/Recording/Journal/JournalChunk.ts"
import { LiveConversation } from "../../../src/Recording/Journal/LiveConversation.ts"
import { LiveConversations } from "../../../src/Recording/Journal/LiveConversations.ts"
import { Protection } from "../../../src/Encryption.ts"
import { ProtectionConfig } from "../../../src/Encryption/ProtectionConfig.ts"
import * as Postgres from "../../support/Postgres.ts"
import { seed } from "../../support/Seed.ts"
import { arrivals, random, union, uuid } from "../support/Arrivals.ts"
import { Uploads } from "../../../src/Recording/Upload/Uploads.ts"
import { StorageUnavailable } from "../../../src/Storage.ts"
import { epoch, idle, inWorld, liveChunks, node, rate, record, sweep } from "../support/StoringNode.ts"
import { ramp } from "../support/TestNode.ts"
import * as StillClock from "../../support/StillClock.ts"
import { temporaryDirectory } from "../../support/TemporaryDirectory.ts"

const runs = 2

const conversations = new Map<string, LiveConversation>()

const liveConversations = Layer.mock(LiveConversations, {
  get: (_uid, id) => conversations.get(id),
  all: () => conversations.values(),
  of: () => conversations.values(),
  chunk: (_uid, conversation, id) => conversations.get(conversation)?.chunk(id),
  ensure: () => assert.fail("nothing is recorded"),
  removeIfUnused: () => {},
  isPurged: () => false,
  chunks: () => [],
  whenRemoved: () => {}
})

const world = Catalog.layer.pipe(
  Layer.provideMerge(Layer.mergeAll(ChunkIndex.layer, ChunkRows.layer, ConversationRows.layer, liveConversations)),
  Layer.provide([
    Protection.layer.pipe(
      Layer.provide(Layer.succeed(ProtectionConfig, { keys: 10, level: "standard", masterSecrets: Option.none() }))
    )
  ]),
  Layer.provideMerge(Postgres.layer)
)

/** All of a live chunk is durable. */
const setLive = (conversation: string, chunks: ReadonlyArray<NewChunk>) => {
  const made = new LiveConversation("u", conversation, new Date(0), { chunks: 0 })
  for (const { codec, id, sampleRate, samples, start } of chunks) {
    const chunk = new JournalChunk({ id, uid: "u", conversation, start, sampleRate, codec }, 0)
    chunk.durable = samples * 2
    chunk.durableSamples = samples
    made.addChunk(chunk)
  }
  conversations.set(conversation, made)
}

/** All pieces of a file, read page by page, each chunk once. */
const piecesOf = Effect.fnUntraced(function* (file: RecordedFile) {
  const found: Array<readonly [string, number, number, number]> = []
  for (let at = 0; at < file.samples;) {
    const page: { pieces: ReadonlyArray<Timeline.Piece<{ readonly id: string }>>; end: number } = yield* file.pieces(
      at,
      file.samples
    )
    assert.isAbove(page.end, at)
    for (const { chunk, offset, samples, skip } of page.pieces) {
      assert.isTrue(offset < page.end && offset + samples > at, "lies in the page")
      if (found.at(-1)?.[0] !== chunk.id) found.push([chunk.id, offset, skip, samples])
    }
    at = page.end
  }
  return found
})

/** All audio files of a conversation, opened page by page. */
const openAll = Effect.fnUntraced(function* (conversation: string) {
  const catalog = yield* Catalog
  const files: Array<RecordedFile> = []
  let before: string | undefined
  do {
    const page = { files: 3, ...(before === undefined ? {} : { before }) }
    const found = Option.getOrThrow(yield* catalog.files("u", conversation, page))
    files.unshift(...found.files)
    before = found.filesNext
  } while (before !== undefined)
  return files
})

const check = Effect.fnUntraced(function* (conversation: string, all: ReadonlyArray<NewChunk>, message: string) {
  const catalog = yield* Catalog
  const right = Timeline.layout(all)
  const heads = right.map((file) => ({
    id: Timeline.fileId("u", conversation, file),
    start: file.start,
    sampleRate: file.sampleRate,
    codec: file.codec,
    samples: file.samples,
    capturedSamples: file.capturedSamples,
    lostSamples: file.lostSamples
  }))
  const files: Array<(typeof heads)[number]> = []
  let before: string | undefined
  do {
    const page = { files: 3, ...(before === undefined ? {} : { before }) }
    const found = Option.getOrThrow(yield* catalog.get("u", conversation, page))
    assert.isAtMost(found.files.length, 3)
    files.unshift(...found.files)
    before = found.filesNext
    const secondsOf = (of: "capturedSamples" | "lostSamples") =>
      right.reduce((sum, file) => sum + file[of] / file.sampleRate, 0)
    assert.closeTo(found.capturedSeconds, secondsOf("capturedSamples"), 1e-6, message)
    assert.closeTo(found.lostSeconds, secondsOf("lostSamples"), 1e-6, message)
    const end = Math.max(...right.map(({ sampleRate, samples, start }) => start + samples / sampleRate))
    assert.strictEqual(found.span?.start, right[0]?.start, message)
    // A live chunk before contiguous ones may move them by less than the tolerance: the end is known to it.
    assert.closeTo(found.span?.end ?? 0, end, 0.001_1, message)
  } while (before !== undefined)
  assert.deepStrictEqual(files, heads, message)
  const opened = yield* openAll(conversation)
  assert.deepStrictEqual(
    opened.map(({ id, start, sampleRate, codec, samples, capturedSamples, lostSamples }) => ({
      id,
      start,
      sampleRate,
      codec,
      samples,
      capturedSamples,
      lostSamples
    })),
    heads,
    message
  )
  const known = new Set<string>()
  for (const [index, file] of right.entries()) {
    const id = Timeline.fileId("u", conversation, file)
    // Of two files with the same start and rate, this id names the first.
    if (known.has(id)) continue
    known.add(id)
    const alone = Option.getOrThrow(yield* catalog.file("u", conversation, id))
    const pieces = file.pieces.map(({ chunk, offset, samples, skip }) => [chunk.id, offset, skip, samples] as const)
    assert.deepStrictEqual(yield* piecesOf(alone), pieces, message)
    const one = opened[index] ?? assert.fail("every file is opened")
    assert.deepStrictEqual([one.version, yield* piecesOf(one)], [alone.version, pieces], message)
    const middle = Math.floor(file.samples / 2)
    const inMiddle = file.pieces.filter(({ offset, samples }) => offset <= middle && offset + samples > middle)
    for (const near of [undefined, { from: middle, to: middle + 1 }, { from: 0, to: Infinity }, { from: 0, to: 1 }]) {
      const again = Option.getOrThrow(yield* catalog.file("u", conversation, id, near))
      const part = yield* again.pieces(middle, middle + 1)
      const heard = part.pieces.filter(({ offset, samples }) => offset <= middle && offset + samples > middle)
      assert.deepStrictEqual(
        heard.map(({ chunk }) => chunk.id),
        inMiddle.map(({ chunk }) => chunk.id),
        message
      )
      assert.strictEqual(again.version, alone.version)
      assert.deepStrictEqual(yield* piecesOf(again), pieces, message)
      const wide = Option.getOrThrow(yield* catalog.file("u", conversation, id, near))
      assert.deepStrictEqual(yield* piecesOf(wide), pieces, message)
    }
  }
})

layer(world, { excludeTestServices: true })("the catalog", (it) => {
  it.effect("lays out stored and live chunks together after every arrival", () =>
    Effect.gen(function* () {
      const index = yield* ChunkIndex
      for (let run = 0; run < runs; run++) {
        const next = random(seed + run)
        const count = 3 + Math.floor(next() * 25)
        const conversation = `c${run}`
        let live: ReadonlyArray<NewChunk> = []
        const stored: Array<ReadonlyArray<NewChunk>> = []
        for (const [at, batch] of arrivals(seed + run, count, Timeline.fileGapSeconds).entries()) {
          const taken = batch.map((chunk) => ({ chunk, isLive: chunk.state === "stored" && next() < 0.4 }))
          // Live chunks are stored sooner or later.
          const done = live.filter(() => next() < 0.2)
          const rows = [...done, ...taken.filter(({ isLive }) => !isLive).map(({ chunk }) => chunk)]
          const isStored = (chunk: NewChunk) =>
            union(stored).some(({ id, start }) => id === chunk.id && start === chunk.start)
          if (rows.length > 0) yield* index.insert({ uid: "u", conversation }, rows)
          stored.push(rows)
          live = [
            ...live.filter((chunk) => !done.includes(chunk) || next() < 0.3),
            ...taken.flatMap(({ chunk, isLive }) => (isLive && !isStored(chunk) ? [chunk] : []))
          ]
          setLive(conversation, live)
          const known = union(stored)
          const others = union([live]).filter(
            ({ id, start }) => !known.some((row) => row.id === id && row.start === start)
          )
          const all = [...known, ...others].sort(Timeline.order)
          yield* check(conversation, all, `seed ${seed + run}, ${count} chunks, batch ${at}`)
        }
      }
    })
  )

  const second = (start: number): NewChunk => ({
    id: uuid(Math.round(start * 1000)),
    start,
    samples: 8000,
    sampleRate: 8000,
    codec: "pcm16",
    state: "stored",
    key: String(start),
    object: { bytes: 16_000, crc32c: 1 }
  })

  it.effect("fails a reader when audio is inserted into the file, but not when the file grows", () =>
    Effect.gen(function* () {
      const [catalog, index] = [yield* Catalog, yield* ChunkIndex]
      const name = { uid: "u", conversation: "cut" }
      yield* index.insert(
        name,
        Array.from({ length: 100 }, (_, at) => second(at === 60 ? 200 : at))
      )
      const id = Timeline.fileId("u", "cut", { start: 0, sampleRate: 8000, codec: "pcm16" })
      const file = Option.getOrThrow(yield* catalog.file("u", "cut", id))
      const first = yield* file.pieces(0, file.samples)
      yield* index.insert(name, [second(300)])
      setLive("cut", [second(100)])
      const more = yield* file.pieces(first.end, file.samples)
      assert.isAbove(more.pieces.length, 0)
      yield* index.insert(name, [second(60)])
      const error: AudioFileChanged | { readonly _tag: string } = yield* Effect.flip(
        file.pieces(more.end, file.samples)
      )
      assert.strictEqual(error._tag, "AudioFileChanged")
    })
  )

  it.effect("takes the ids of stored audio files from their rows, and computes those of live ones", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const [catalog, index] = [yield* Catalog, yield* ChunkIndex]
      yield* index.insert({ uid: "u", conversation: "ids" }, [second(0), second(200)])
      const known = uuid(7)
      yield* sql`update audio_files set id = ${known}::uuid where conversation_id = 'ids' and start_at = 0`
      setLive("ids", [second(400)])
      const idOf = (start: number) => Timeline.fileId("u", "ids", { start, sampleRate: 8000, codec: "pcm16" })
      const expected = [known, idOf(200), idOf(400)]
      const { files } = Option.getOrThrow(yield* catalog.get("u", "ids", { files: 5 }))
      const opened = Option.getOrThrow(yield* catalog.files("u", "ids", { files: 5 })).files
      for (const found of [files, opened])
        assert.deepStrictEqual(
          found.map(({ id }) => id),
          expected
        )
    })
  )

  it.effect("reads a bounded number of rows for a range, all of them of the range", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const [catalog, index] = [yield* Catalog, yield* ChunkIndex]
      yield* index.insert(
        { uid: "u", conversation: "long" },
        Array.from({ length: 3_000 }, (_, at) => second(at))
      )
      yield* sql`analyze chunks`
      const id = Timeline.fileId("u", "long", { start: 0, sampleRate: 8000, codec: "pcm16" })
      const file = Option.getOrThrow(yield* catalog.file("u", "long", id))
      const page = yield* file.pieces(2_000 * 8000, file.samples)
      assert.isAtMost(page.pieces.length, 33)
      const plan = yield* sql<{ "QUERY PLAN": string }>`
        explain (analyze, timing off) select at from chunks
        where uid = 'u' and conversation_id = 'long' and sample_rate = 8000 and heard > 0
          and (start_at, id) >= (0, ${uuid(0)}::uuid) and (start_at, id) <= (2999, ${uuid(2_999_000)}::uuid)
          and at > 16000000 and at < 24000000
        order by at limit 32`
      const text = plan.map((row) => row["QUERY PLAN"]).join("\n")
      assert.match(text, /Index Scan using chunks_heard/)
      assert.notMatch(text, /Sort|Seq Scan/)
    })
  )
})

it.live("plays all stored chunks, even more of them than a capture can add", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const count = 12
    yield* Effect.gen(function* () {
      for (let at = 0; at < count; at++) yield* record(800, at * rate * 100)
      yield* idle
    }).pipe(Effect.provide(node(dataDir)))
    yield* Effect.gen(function* () {
      const recording = yield* Recording
      const { conversations } = yield* recording.conversations("u", { limit: 5, files: 100 })
      const files = conversations[0]?.files ?? []
      assert.lengthOf(files, count)
      for (const [at, { id }] of files.entries()) {
        const file = Option.getOrThrow(yield* recording.file("u", "c", id))
        const { pieces } = yield* file.pieces(0, file.samples)
        const audio = yield* Effect.forEach(pieces, ({ chunk }) =>
          Stream.runCollect(recording.read(chunk, { start: 0, end: chunk.samples * 2 }))
        )
        assert.isTrue(Buffer.concat(audio.flat()).equals(ramp(800, at * rate * 100)))
      }
    }).pipe(Effect.provide(node(dataDir, {}, { chunksPerConversation: 10 })))
  }).pipe(inWorld)
)

it.live("returns one consistent state of a conversation while chunks around a live one are stored", () =>
  Effect.gen(function* () {
    const allowed = new Set<string>()
    const down = new StorageUnavailable({ operation: "put", bucket: "b", key: "k", cause: "down" })
    const put = <A, E>(put: Effect.Effect<A, E>, key: string): Effect.Effect<A, E | StorageUnavailable> =>
      Effect.suspend((): Effect.Effect<A, E | StorageUnavailable> =>
        [...allowed].some((start) => key.includes(`/${start}.000`)) ? put : down
      )
    let meanwhile: Effect.Effect<unknown, never, Uploads> = Effect.void
    const uploads = yield* Deferred.make<Uploads["Service"]>()
    const view = <A, E>(view: Effect.Effect<A, E>) =>
      Effect.suspend(() => {
        const now = Effect.provideServiceEffect(meanwhile, Uploads, Deferred.await(uploads))
        meanwhile = Effect.void
        return Effect.andThen(now, view)
      })
    yield* Effect.gen(function* () {
      yield* Deferred.succeed(uploads, yield* Uploads)
      for (const second of [0, 1, 2]) yield* record(rate, second * rate)
      yield* idle
      allowed.add(String(epoch + 1))
      yield* sweep
      assert.strictEqual(yield* liveChunks, 2)
      meanwhile = Effect.suspend(() => {
        allowed.add(String(epoch + 2))
        return sweep
      })
      const recording = yield* Recording
      const found = Option.getOrThrow(yield* recording.conversation("u", "c", { files: 1 }))
      assert.strictEqual(yield* liveChunks, 1)
      assert.deepStrictEqual([found.capturedSeconds, found.files[0]?.samples], [3, 3 * rate])
    }).pipe(Effect.provide(node(yield* temporaryDirectory, { put, view })))
  }).pipe(inWorld)
)

it.live("has what was stored a moment ago, although the index was read before", () =>
  Effect.gen(function* () {
    const { clock } = yield* StillClock.make
    yield* Effect.gen(function* () {
      const recording = yield* Recording
      yield* record(rate)
      yield* idle
      const conversation = Option.getOrThrow(yield* recording.conversation("u", "c", { files: 1 }))
      const id = conversation.files[0]?.id ?? ""
      const near = { from: 10, to: 20 }
      for (let seconds = 1; seconds <= 4; seconds++) {
        const before = Option.getOrThrow(yield* recording.file("u", "c", id, near))
        assert.strictEqual(before.samples, seconds * rate)
        yield* record(rate, seconds * rate)
        yield* idle
        assert.strictEqual(yield* liveChunks, 0)
        const after = Option.getOrThrow(yield* recording.file("u", "c", id, near))
        assert.strictEqual(after.samples, (seconds + 1) * rate)
        assert.strictEqual(after.version, before.version)
      }
    }).pipe(Effect.provide(node(yield* temporaryDirectory).pipe(Layer.provide(Layer.succeed(Clock.Clock, clock)))))
  }).pipe(inWorld)
)
