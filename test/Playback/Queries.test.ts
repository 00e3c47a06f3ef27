/** `src/Playback` on a real database: what a range costs in queries and in reads of the store. */
import { assert, it } from "@effect/vitest"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Clock, Deferred, Duration, Effect, Layer, Option, Stream } from "effect"
import { StorageBulkheads } from "../../src/Bulkhead.ts"
import { BulkheadConfig } from "../../src/Bulkhead/BulkheadConfig.ts"
import { Db } from "../../src/Db.ts"
import { Protection } from "../../src/Encryption.ts"
import { ProtectionConfig } from "../../src/Encryption/ProtectionConfig.ts"
import { NodeConfig } from "../../src/NodeConfig.ts"
import { Playback, PlaybackConfig } from "../../src/Playback.ts"
import { Recording } from "../../src/Recording.ts"
import { Storage } from "../../src/Storage.ts"
import * as MemoryStorage from "../../src/Storage/MemoryStorage.ts"
import * as StillClock from "../support/StillClock.ts"
import * as Settings from "../support/Settings.ts"
import * as Postgres from "../support/Postgres.ts"
import { temporaryDirectory } from "../support/TemporaryDirectory.ts"
import { ramp, recordingConfig } from "../Recording/support/TestNode.ts"

const protection = Protection.layer.pipe(
  Layer.provide(Layer.succeed(ProtectionConfig, { keys: 10, level: "standard", masterSecrets: Option.none() }))
)

it.live(
  "plays ranges of a stored chunk with one query a second and one read each, of its conversation with two queries",
  () =>
    Effect.gen(function* () {
      const dataDir = yield* temporaryDirectory
      const { advance, clock } = yield* StillClock.make
      let queries: Array<string> = []
      let reads = 0
      const stored = yield* Deferred.make<void>()
      const countedDb = Layer.effect(
        Db,
        Effect.map(Db, (db) => ({
          ...db,
          read: (operation, query) =>
            Effect.suspend(() => {
              // The node also checks for purges in the background.
              if (!operation.startsWith("PurgeWatch.")) queries.push(operation)
              return db.read(operation, query)
            }),
          transactionIdempotent: (operation, query) => {
            const run = db.transactionIdempotent(operation, query)
            return operation === "ChunkIndex.insert" ? Effect.tap(run, () => Deferred.succeed(stored, undefined)) : run
          }
        }))
      )
      const countedStorage = Layer.effect(
        Storage,
        Effect.map(Storage, (storage) => ({
          ...storage,
          get: (key, range) =>
            Stream.suspend(() => {
              reads++
              return storage.get(key, range)
            }),
          read: (key, range) =>
            Effect.suspend(() => {
              reads++
              return storage.read(key, range)
            })
        }))
      ).pipe(Layer.provide(MemoryStorage.layer))
      const node = Playback.layer.pipe(
        Layer.provideMerge(Recording.layer),
        Layer.provide([countedDb, countedStorage, protection, StorageBulkheads.layer]),
        Layer.provide([BulkheadConfig.layer, PlaybackConfig.layer, NodeServices.layer]),
        Layer.provide([Layer.succeed(NodeConfig, { dataDir }), Settings.environment({})]),
        Layer.provide([recordingConfig({ commitInterval: Duration.millis(10) }), Postgres.layer]),
        Layer.provide(Layer.succeed(Clock.Clock, clock))
      )
      yield* Effect.gen(function* () {
        const [recording, playback] = [yield* Recording, yield* Playback]
        const room = yield* Deferred.make<void>()
        yield* Effect.gen(function* () {
          const open = yield* recording.open({
            uid: "ada",
            sampleRate: 8000,
            codec: "pcm16",
            exact: true,
            onAck: () => {},
            onRoom: () => Deferred.doneUnsafe(room, Effect.void),
            onFailure: () => {}
          })
          open.switchTo("c")
          yield* Deferred.await(room)
          open.append(1_700_000_000, ramp(8000))
        }).pipe(Effect.scoped)
        yield* Deferred.await(stored)
        const found = Option.getOrThrow(yield* recording.conversation("ada", "c", { files: 1 }))
        const id = found.files[0]?.id ?? ""
        // Released by the journal, after its row.
        const operations = Effect.gen(function* () {
          queries = []
          yield* playback.open("ada", "c", id, "wav")
          return queries
        })
        yield* Effect.repeat(Effect.delay(operations, "5 millis"), { until: ([first]) => first === "FileChunks.open" })
        for (const range of [
          { start: 0, end: 1000 },
          { start: 101, end: 10_001 },
          { start: 44, end: 45 },
          { start: 15_000, end: 16_044 }
        ]) {
          queries = []
          reads = 0
          const rendition = Option.getOrThrow(yield* playback.open("ada", "c", id, "wav", range))
          const { first } = yield* rendition.begin(range)
          assert.deepStrictEqual([queries, reads], [range.start === 0 ? ["FileChunks.open"] : [], 1])
          const heard = Buffer.concat(first)
          const audio = Math.max(0, 44 - range.start)
          assert.isTrue(heard.subarray(audio).equals(ramp(8000).subarray(range.start + audio - 44, range.end - 44)))
        }
        for (const format of ["wav", "ogg"] as const) {
          queries = []
          reads = 0
          yield* playback.open("ada", "c", id, format, { start: 0, end: 0 })
          assert.deepStrictEqual([queries, reads], [[], 0])
        }
        advance(1_001)
        queries = []
        yield* playback.open("ada", "c", id, "wav", { start: 0, end: 1000 })
        assert.deepStrictEqual(queries, ["FileChunks.open"])
        const range = { start: 101, end: 10_001 }
        queries = []
        reads = 0
        const whole = Option.getOrThrow(yield* playback.openWhole("ada", "c", "wav"))
        const { first } = yield* whole.begin(range)
        assert.deepStrictEqual([queries, reads], [["ConversationRows.find", "FileChunks.page"], 1])
        assert.isTrue(Buffer.concat(first).equals(ramp(8000).subarray(range.start - 44, range.end - 44)))
        assert.isTrue(Option.isNone(yield* playback.openWhole("grace", "c", "wav")))
        assert.isTrue(Option.isNone(yield* playback.open("grace", "c", id, "wav", { start: 0, end: 100 })))
      }).pipe(Effect.scoped, Effect.provide(node))
    })
)
