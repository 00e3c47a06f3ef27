/** Which database connections recording uses, and which its requests. */
import { assert, it } from "@effect/vitest"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Deferred, Duration, Effect, Layer, Option } from "effect"
import { StorageBulkheads } from "../src/Bulkhead.ts"
import { BulkheadConfig } from "../src/Bulkhead/BulkheadConfig.ts"
import { callerOf, Db, DbCaller } from "../src/Db.ts"
import { NodeConfig } from "../src/NodeConfig.ts"
import { Recording } from "../src/Recording.ts"
import { Protection } from "../src/Encryption.ts"
import * as MemoryStorage from "../src/Storage/MemoryStorage.ts"
import { ProtectionConfig } from "../src/Encryption/ProtectionConfig.ts"
import * as Postgres from "./support/Postgres.ts"
import { ramp, recordingConfig } from "./Recording/support/TestNode.ts"
import { temporaryDirectory } from "./support/TemporaryDirectory.ts"

const protection = Protection.layer.pipe(
  Layer.provide(Layer.succeed(ProtectionConfig, { keys: 10, level: "standard", masterSecrets: Option.none() }))
)

it.live("runs recording on its reserved connections, and requests on those of their user", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const callers = new Map<string, DbCaller>()
    const stored = yield* Deferred.make<void>()
    const watched = Layer.effect(
      Db,
      Effect.map(Db, (db) => {
        const watch = (name: keyof typeof db): never =>
          ((operation: string, query: never) =>
            Effect.withFiber((fiber) => {
              callers.set(operation, fiber.getRef(DbCaller))
              const run = db[name](operation, query)
              return operation === "ChunkIndex.insert"
                ? Effect.tap(run, () => Deferred.succeed(stored, undefined))
                : run
            })) as never
        return Db.of({
          read: watch("read"),
          write: watch("write"),
          writeIdempotent: watch("writeIdempotent"),
          transaction: watch("transaction"),
          transactionIdempotent: watch("transactionIdempotent")
        })
      })
    )
    const node = Recording.layer.pipe(
      Layer.provide([watched, MemoryStorage.layer, protection, StorageBulkheads.layer]),
      Layer.provide([BulkheadConfig.layer, Layer.succeed(NodeConfig, { dataDir }), NodeServices.layer]),
      Layer.provide([recordingConfig({ commitInterval: Duration.millis(10) }), Postgres.layer])
    )
    yield* Effect.gen(function* () {
      const recording = yield* Recording
      const room = yield* Deferred.make<void>()
      const capture = {
        uid: "ada",
        sampleRate: 8000,
        codec: "pcm16",
        exact: true,
        onAck: () => {},
        onRoom: () => Deferred.doneUnsafe(room, Effect.void),
        onFailure: () => {}
      } as const
      yield* Effect.gen(function* () {
        const open = yield* recording.open(capture)
        open.switchTo("c")
        yield* Deferred.await(room)
        open.append(1_700_000_000, ramp(8000))
      }).pipe(Effect.scoped)
      yield* Deferred.await(stored)
      yield* recording.conversations("ada", { limit: 10, files: 10 })
    }).pipe(Effect.provideService(DbCaller, callerOf("ada")), Effect.provide(node))
    const kinds = Object.fromEntries([...callers].map(([operation, { kind, uid }]) => [operation, uid ?? kind]))
    assert.strictEqual(kinds["ChunkIndex.insert"], "ingest")
    assert.strictEqual(kinds["ConversationRows.ensure"], "ingest")
    assert.strictEqual(kinds["ConversationRows.latest"], "ada")
  })
)
