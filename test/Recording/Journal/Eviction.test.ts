/** Whose audio is evicted when the journal is full; all other audio stays whole. */
import { assert, it } from "@effect/vitest"
import { Arbitrary, Deferred, Duration, Effect, Fiber, Layer, References, Schema } from "effect"
import { SqlClient } from "effect/sql"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { Journal } from "../../../src/Recording/Journal/Journal.ts"
import { Uploads } from "../../../src/Recording/Upload/Uploads.ts"
import type { JournalChunk } from "../../../src/Recording/Journal/JournalChunk.ts"
import { StorageUnavailable } from "../../../src/Storage.ts"
import {
  allChunks,
  chunksOf,
  epoch,
  failing,
  hanging,
  idle,
  inWorld,
  node,
  openCapture,
  record,
  rowCount,
  storedOf,
  sweep
} from "../support/StoringNode.ts"
import { ended, journalIn, ramp, TestNode } from "../support/TestNode.ts"
import { temporaryDirectory } from "../../support/TemporaryDirectory.ts"

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const Step = Schema.Union([
  Schema.Struct({ _tag: Schema.tag("Append"), user: between(0, 3), samples: between(1, 6000) }),
  Schema.Struct({ _tag: Schema.tag("Gap"), user: between(0, 3) }),
  Schema.Struct({ _tag: Schema.tag("Store"), chunk: between(0, 100) }),
  Schema.Struct({ _tag: Schema.tag("Commit") })
])
const Steps = Arbitrary.array(Arbitrary.schema(Step), { minLength: 40, maxLength: 120 })

const start = (user: number) => 1_000_000 * (user + 1)
/** All samples of all users differ. */
const audioOf = (chunk: JournalChunk) => {
  const user = Number(chunk.uid)
  return Buffer.from(ramp(chunk.durable / 2, user * 977 + Math.round((chunk.start - start(user)) * 8000)))
}

const assertWhole = (journal: Journal["Service"], chunks: ReadonlyArray<JournalChunk>) =>
  Effect.forEach(
    chunks,
    Effect.fnUntraced(function* (chunk) {
      const expected = audioOf(chunk)
      assert.isTrue(expected.equals(yield* journal.read(chunk, 0, expected.length)))
    }),
    { concurrency: "unbounded", discard: true }
  )

it.effect.prop(
  "keeps all audio that is not evicted exactly once, and recovers it after a kill",
  { steps: Steps },
  Effect.fnUntraced(
    function* ({ steps }) {
      const dataDir = yield* temporaryDirectory
      const bounds = { segmentBytes: 6000, journalBytes: 30_000, commitBytes: 20_000, captureBuffer: 16_000 }
      const layer = journalIn(dataDir, bounds)
      const gone = new Set<string>()
      const kept = yield* Effect.gen(function* () {
        const journal = yield* Journal
        const node = new TestNode(journal, { bufferBytes: bounds.captureBuffer })
        const release = (chunk: JournalChunk) => {
          gone.add(chunk.id)
          return journal.release(chunk)
        }
        journal.whenFull((chunks) => Effect.as(Effect.forEach(chunks, release, { discard: true }), true))
        const users = [0, 1, 2, 3].map((user) => {
          const { capture } = node.capture({ uid: String(user) })
          capture.switchTo(String(user))
          return { capture, samples: 0 }
        })
        for (const step of steps) {
          if (step._tag === "Commit") yield* journal.commit
          else if (step._tag === "Store") {
            const chunk = node.sealed[step.chunk]
            if (chunk !== undefined && chunk.state !== "released") yield* release(chunk)
          } else {
            const user = users[step.user]
            if (user === undefined) continue
            if (step._tag === "Gap") user.samples += 800
            else {
              user.capture.append(
                start(step.user) + user.samples / 8000,
                ramp(step.samples, step.user * 977 + user.samples)
              )
              user.samples += step.samples
            }
          }
        }
        // Nothing is written while it is compared.
        yield* Effect.forEach(users, ({ capture }) => ended(capture, journal), { discard: true })
        const chunks = [...node.conversations.values()].flatMap((conversation) => [...conversation.chunks])
        const kept = chunks.filter((chunk) => !gone.has(chunk.id) && chunk.durable > 0)
        yield* assertWhole(journal, kept)
        return new Map(kept.map((chunk) => [chunk.id, chunk.durable]))
      }).pipe(Effect.provide(layer))
      yield* Effect.gen(function* () {
        const journal = yield* Journal
        const found = journal.recovered.filter((chunk) => !gone.has(chunk.origin.id))
        assert.deepStrictEqual(new Map(found.map((chunk) => [chunk.id, chunk.durable])), kept)
        yield* assertWhole(journal, found)
      }).pipe(Effect.provide(Layer.fresh(layer)))
    },
    Effect.scoped,
    Effect.provideService(References.MinimumLogLevel, "None")
  ),
  { arbitrary: { runs: 20 } }
)

it.live("evicts the oldest sealed audio when the journal is full, and records it as lost", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const put = () => new StorageUnavailable({ operation: "put", bucket: "b", key: "k", cause: "down" })
    const small = {
      segmentBytes: 20_000,
      journalBytes: 100_000,
      uploadDeadline: Duration.millis(1)
    }
    yield* Effect.gen(function* () {
      const journal = yield* Journal
      for (let index = 0; index < 12; index++) {
        yield* record(8000, index * 8000)
        yield* idle
        assert.isAtMost(journal.stats().bytes, 120_000)
      }
      const chunks = yield* allChunks("u", "c")
      const states = chunks.map((chunk) => chunk.state)
      const lost = states.filter((state) => state === "lost").length
      assert.isAbove(lost, 3)
      assert.deepStrictEqual(states, [...states.slice(0, lost).fill("lost"), ...states.slice(lost).fill("sealed")])
      assert.strictEqual(chunks.length, 12)
    }).pipe(Effect.provide(node(dataDir, { put }, small)))
  }).pipe(inWorld)
)

it.live(
  "evicts audio of the largest user, and keeps other users' audio in between exactly once, also after a kill",
  () =>
    Effect.gen(function* () {
      const dataDir = yield* temporaryDirectory
      const copy = Path.join(dataDir, "copy")
      const { put } = failing()
      const small = { segmentBytes: 20_000, journalBytes: 200_000 }
      const theirs = Buffer.from(ramp(30 * 800))
      // A chunk with a hole from damage: the part behind it is recovered under a new id.
      yield* Effect.gen(function* () {
        const journal = yield* Journal
        const { capture } = new TestNode(journal).capture()
        capture.switchTo("hole")
        for (let part = 0; part < 4; part++) {
          capture.append(epoch + part, ramp(8000, part * 8000))
          yield* journal.commit
        }
      }).pipe(Effect.provide(journalIn(dataDir)))
      const damaged = Path.join(dataDir, "journal", `${"1".padStart(16, "0")}.wal`)
      const bytes = Fs.readFileSync(damaged)
      for (const at of [24_000, 40_000]) bytes[at] = (bytes[at] ?? 0) ^ 1
      Fs.writeFileSync(damaged, bytes)
      const holed = Buffer.concat([ramp(8000), ramp(8000, 24_000)])
      const keepCopies = () => Fs.cpSync(Path.join(dataDir, "journal"), Path.join(copy, "journal"), { recursive: true })
      yield* Effect.gen(function* () {
        const journal = yield* Journal
        for (let index = 0; index < 30; index++) {
          yield* record(800, index * 800, "c", "quiet")
          yield* record(8000, index * 8000, "c", "loud")
          yield* idle
          assert.isAtMost(journal.stats().bytes, 220_000)
          keepCopies()
        }
        const quiet = yield* chunksOf("quiet", "c")
        assert.strictEqual(quiet.lost, 0)
        assert.isTrue(quiet.audio.equals(theirs))
        assert.isTrue((yield* chunksOf("u", "hole")).audio.equals(holed))
        assert.isFalse(Fs.existsSync(damaged))
        assert.isAbove((yield* chunksOf("loud", "c")).lost, 15)
      }).pipe(Effect.provide(node(dataDir, { put }, small)))
      for (const directory of [dataDir, copy])
        yield* Effect.gen(function* () {
          const quiet = yield* chunksOf("quiet", "c")
          assert.isTrue(quiet.audio.equals(theirs))
          assert.isTrue((yield* chunksOf("u", "hole")).audio.equals(holed))
        }).pipe(Effect.provide(node(directory, { put })))
    }).pipe(inWorld)
)

it.effect("keeps audio that a commit has written when the same commit fills more segments than the budget", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    yield* Effect.gen(function* () {
      const journal = yield* Journal
      journal.whenFull(() => Effect.succeed(true))
      const node = new TestNode(journal)
      const captures = [0, 1, 2, 3].map(() => node.capture())
      for (const [index, { capture }] of captures.entries()) {
        capture.switchTo(`c${index}`)
        capture.append(epoch, ramp(9000, index))
      }
      yield* journal.commit
      for (const index of captures.keys())
        for (const chunk of node.conversation(`c${index}`).chunks)
          assert.deepStrictEqual(Buffer.from(yield* journal.read(chunk, 0, 18_000)), Buffer.from(ramp(9000, index)))
    }).pipe(
      Effect.provide(
        journalIn(dataDir, { segmentBytes: 10_000, journalBytes: 20_000, commitBytes: 20_000, captureBuffer: 20_000 })
      )
    )
  }).pipe(Effect.scoped, Effect.provideService(References.MinimumLogLevel, "None"))
)

it.effect("keeps recording when a segment to be freed can't be read", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    yield* Effect.gen(function* () {
      const journal = yield* Journal
      journal.whenFull((chunks) => Effect.as(Effect.forEach(chunks, journal.release, { discard: true }), true))
      const node = new TestNode(journal)
      const quiet = node.capture({ uid: "quiet" })
      quiet.capture.switchTo("quiet")
      quiet.capture.append(epoch, ramp(800))
      yield* journal.commit
      const first = Path.join(dataDir, "journal", `${"1".padStart(16, "0")}.wal`)
      for (let index = 0; index < 12; index++) {
        if (index === 3) Fs.truncateSync(first, 100)
        const { capture, heard } = node.capture({ uid: "loud" })
        capture.switchTo("loud")
        capture.append(epoch + index * 10, ramp(8000, index))
        yield* journal.commit
        capture.close(() => {})
        yield* journal.commit
        assert.deepStrictEqual(heard.failures, [])
      }
      assert.isAtMost(journal.stats().bytes, 120_000)
      const last = [...node.conversation("loud").chunks].at(-1)
      assert.isDefined(last)
      assert.deepStrictEqual(Buffer.from(yield* journal.read(last, 0, last.durable)), Buffer.from(ramp(8000, 11)))
    }).pipe(Effect.provide(journalIn(dataDir, { segmentBytes: 20_000, journalBytes: 100_000 })))
  }).pipe(Effect.scoped, Effect.provideService(References.MinimumLogLevel, "None"))
)

it.live("evicts stored audio before any that is not", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const { put, state } = failing()
    yield* Effect.gen(function* () {
      const journal = yield* Journal
      state.down = false
      yield* record(8000)
      yield* (yield* Uploads).idle
      assert.isAbove(journal.stats().bytes, 16_000)
      state.down = true
      for (let index = 1; index < 5; index++) yield* record(8000, index * 8000)
      state.down = false
      yield* sweep
      const { audio, lost } = yield* chunksOf("u", "c")
      assert.strictEqual(lost, 0)
      assert.deepStrictEqual(audio, Buffer.from(ramp(40_000)))
    }).pipe(Effect.provide(node(dataDir, { put }, { segmentBytes: 15_000, journalBytes: 85_000 })))
  }).pipe(inWorld)
)

it.live("records what is lost in full when a part of it is found after a kill", () =>
  Effect.gen(function* () {
    const [dataDir, copy] = [yield* temporaryDirectory, yield* temporaryDirectory]
    const { put } = failing()
    const bounds = { segmentBytes: 20_000, journalBytes: 90_000 }
    let given = 0
    const lost = Effect.flatMap(SqlClient.SqlClient, (sql) =>
      Effect.map(
        sql<{ readonly samples: number }>`select coalesce(sum(samples), 0)::float8 as samples from chunks where lost`,
        (rows) => rows[0]?.samples ?? 0
      )
    )
    yield* Effect.gen(function* () {
      yield* record(6_200, 0, "c", "quiet")
      // Most of the first segment is of another user, so the second one is freed. The chunk begins in the first one.
      yield* Effect.gen(function* () {
        const { acked, capture } = yield* openCapture("c", "u")
        capture.append(epoch, ramp(4_500))
        yield* acked
        capture.append(epoch + 4_500 / 8_000, ramp(8_000, 4_500))
      }).pipe(Effect.scoped)
      for (let index = 2; (yield* lost) === 0; index++) yield* record(9_000, index * 16_000, "c", "u")
      // The eviction ends before the commit that it is part of.
      yield* Effect.flatMap(Journal, (journal) => journal.commit)
      given = yield* lost
      assert.isAtLeast(given, 12_500)
      Fs.cpSync(Path.join(dataDir, "journal"), Path.join(copy, "journal"), { recursive: true })
    }).pipe(Effect.provide(node(dataDir, { put }, { ...bounds, ...hanging })))
    yield* Effect.gen(function* () {
      yield* Effect.andThen(sweep, idle)
      assert.strictEqual(yield* lost, given)
    }).pipe(Effect.provide(node(copy)))
  }).pipe(inWorld)
)

it.live("never both evicts and stores a chunk", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const { put, state } = failing()
    const asked = yield* Deferred.make<void>()
    const answered = yield* Deferred.make<void>()
    const lost = <A, E>(row: Effect.Effect<A, E>) =>
      row.pipe(Effect.tap(Deferred.succeed(asked, undefined)), Effect.tap(Deferred.await(answered)))
    yield* Effect.gen(function* () {
      for (let index = 0; index < 5; index++) yield* Effect.andThen(record(8000, index * 8000), idle)
      const more = yield* Effect.forkChild(
        Effect.forEach([5, 6, 7, 8], (index) => record(8000, index * 8000), { discard: true })
      )
      yield* Deferred.await(asked)
      state.down = false
      yield* sweep
      yield* Deferred.succeed(answered, undefined)
      yield* Fiber.join(more)
      yield* sweep
      assert.strictEqual((yield* chunksOf("u", "c")).lost + (yield* storedOf("u")), 9)
      assert.strictEqual(yield* rowCount, 9)
    }).pipe(Effect.provide(node(dataDir, { put, lost }, { segmentBytes: 20_000, journalBytes: 100_000 })))
  }).pipe(inWorld)
)
