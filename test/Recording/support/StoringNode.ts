/** A node with journal, uploads and database, on the storage of the test. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Deferred, Duration, Effect, Layer, Option, Random, Redacted, References, Stream } from "effect"
import { Priority, StorageBulkheads } from "../../../src/Bulkhead.ts"
import { BulkheadConfig } from "../../../src/Bulkhead/BulkheadConfig.ts"
import { Opus } from "../../../src/Opus.ts"
import { Db, type DbError } from "../../../src/Db.ts"
import { NodeConfig } from "../../../src/NodeConfig.ts"
import { type Chunk, Recording, type RecordingConfig } from "../../../src/Recording.ts"
import { Captures } from "../../../src/Recording/Capture/Captures.ts"
import { Catalog } from "../../../src/Recording/Catalog/Catalog.ts"
import { ChunkAudio } from "../../../src/Recording/Read/ChunkAudio.ts"
import { ChunkRows } from "../../../src/Recording/Catalog/ChunkRows.ts"
import { ConversationRows } from "../../../src/Recording/Catalog/ConversationRows.ts"
import { Journal } from "../../../src/Recording/Journal/Journal.ts"
import type { JournalError } from "../../../src/Recording/Journal/Segment.ts"
import { minKey, maxKey } from "../../../src/Recording/Catalog/IndexChange.ts"
import { LiveConversations } from "../../../src/Recording/Journal/LiveConversations.ts"
import { PurgeWatch } from "../../../src/Recording/Purge/PurgeWatch.ts"
import { RecordedAudio } from "../../../src/Recording/Capture/RecordedAudio.ts"
import { StoredAudio } from "../../../src/Recording/Read/StoredAudio.ts"
import { Uploads } from "../../../src/Recording/Upload/Uploads.ts"
import { type NewObject, ObjectConflict, Storage, StorageUnavailable } from "../../../src/Storage.ts"
import { Protection } from "../../../src/Encryption.ts"
import * as MemoryStorage from "../../../src/Storage/MemoryStorage.ts"
import { ProtectionConfig } from "../../../src/Encryption/ProtectionConfig.ts"
import * as Postgres from "../../support/Postgres.ts"
import { ramp, recordingConfig } from "./TestNode.ts"

export const rate = 8000
export const epoch = 1_700_000_000

export interface Hooks {
  /** Replace a put, and the insertion of a row. */
  readonly put?: <A, E>(
    put: Effect.Effect<A, E>,
    key: string,
    body: NewObject["body"]
  ) => Effect.Effect<A, E | StorageUnavailable | ObjectConflict>
  readonly row?: <A, E>(row: Effect.Effect<A, E>) => Effect.Effect<A, E>
  /** Replaces the removal of an object. */
  readonly remove?: <A, E>(removal: Effect.Effect<A, E>) => Effect.Effect<A, E | StorageUnavailable>
  /** Called with the priority of each streamed read of an object. */
  readonly onRead?: (priority: typeof Priority.Service) => void
  readonly lost?: <A, E>(row: Effect.Effect<A, E>) => Effect.Effect<A, E>
  /** Replace the queries of a capture that enters a conversation, and that compares audio. */
  readonly enter?: <A, E>(row: Effect.Effect<A, E>) => Effect.Effect<A, E>
  readonly compare?: (rows: Stream.Stream<Chunk, DbError>) => Stream.Stream<Chunk, DbError>
  /** Replaces the view of a conversation whose row was read. */
  readonly view?: <A, E>(view: Effect.Effect<A, E>) => Effect.Effect<A, E>
  readonly level?: Level
  /** Replaces a read of the journal. */
  readonly journalRead?: <A>(read: Effect.Effect<A, JournalError>) => Effect.Effect<A, JournalError>
  /** How late the journal's next commit is. */
  readonly lateBy?: () => number
  /** From 0 to 1; by default every chunk can have the full length. */
  readonly random?: () => number
}

type Level = "standard" | "enhanced"

const protectionConfig = (level: Level) =>
  Layer.succeed(ProtectionConfig, {
    keys: 10,
    level,
    masterSecrets: Option.some(Redacted.make(Buffer.alloc(32, 1).toString("base64")))
  })

/** Frequent commits, and timeouts that a busy machine does not reach. */
const fast = {
  commitInterval: Duration.millis(10),
  conversationLookup: Duration.seconds(30),
  drainTimeout: Duration.minutes(1),
  sweepInterval: Duration.hours(1)
}

/** For a node whose uploads never end: it does not wait for them at its stop. */
export const hanging = { drainTimeout: Duration.millis(50) }

/** A node on `dataDir` with the storage and database of the test. */
export const node = (dataDir: string, hooks: Hooks = {}, config: Partial<RecordingConfig["Service"]> = {}) => {
  const hooked = Layer.effect(
    Storage,
    Effect.map(Storage, (storage) => ({
      ...storage,
      get: (key, range) =>
        Stream.unwrap(
          Effect.map(Priority, (priority) => {
            hooks.onRead?.(priority)
            return storage.get(key, range)
          })
        ),
      read: (key, range) =>
        Effect.flatMap(Priority, (priority) => {
          hooks.onRead?.(priority)
          return storage.read(key, range)
        }),
      put: (object) => (hooks.put ?? ((put) => put))(storage.put(object), object.key, object.body),
      remove: (key, options) => (hooks.remove ?? ((removal) => removal))(storage.remove(key, options))
    }))
  )
  const rows = Layer.effect(
    ChunkRows,
    Effect.map(ChunkRows, (rows) => ({
      ...rows,
      insertStored: (chunk, object) => (hooks.row ?? ((row) => row))(rows.insertStored(chunk, object)),
      insertLost: (chunk) => (hooks.lost ?? ((row) => row))(rows.insertLost(chunk)),
      tail: (uid, conversation) => (hooks.enter ?? ((row) => row))(rows.tail(uid, conversation)),
      within: (uid, conversation, span) => (hooks.compare ?? ((rows) => rows))(rows.within(uid, conversation, span))
    }))
  ).pipe(Layer.provide(ChunkRows.layer))
  const conversations = Layer.effect(
    ConversationRows,
    Effect.map(ConversationRows, (rows) => ({
      ...rows,
      ensure: (uid, id) => (hooks.enter ?? ((row) => row))(rows.ensure(uid, id)),
      view: (uid, row, id, live) => (hooks.view ?? ((view) => view))(rows.view(uid, row, id, live))
    }))
  ).pipe(Layer.provide(ConversationRows.layer))
  const journal = Layer.effect(
    Journal,
    Effect.map(Journal, (journal) => ({
      ...journal,
      lateBy: hooks.lateBy ?? journal.lateBy,
      read: (chunk, start, end, into) => (hooks.journalRead ?? ((read) => read))(journal.read(chunk, start, end, into))
    }))
  ).pipe(Layer.provide(Journal.layer))
  const random = Layer.succeed(Random.Random, {
    nextDoubleUnsafe: hooks.random ?? (() => 1),
    nextIntUnsafe: () => 0
  })
  return Recording.layerNoDeps.pipe(
    Layer.provide(Captures.layer.pipe(Layer.provide([RecordedAudio.layer, random]))),
    Layer.provide([ChunkAudio.layer, Catalog.layer]),
    Layer.provideMerge(Uploads.layer),
    Layer.provideMerge(PurgeWatch.layer),
    Layer.provideMerge(Layer.merge(LiveConversations.layer, StoredAudio.layer)),
    Layer.provideMerge(Layer.mergeAll(journal, rows, conversations, Opus.layer)),
    Layer.provide([hooked, Protection.layer.pipe(Layer.provide(protectionConfig(hooks.level ?? "standard")))]),
    Layer.provide(Layer.provideMerge(StorageBulkheads.layer, BulkheadConfig.layer)),
    Layer.provide([
      recordingConfig({ ...fast, ...config }),
      Layer.succeed(NodeConfig, { dataDir }),
      NodeServices.layer
    ]),
    Layer.fresh
  )
}

/** A capture that has entered a conversation, its acknowledgements in bytes (`acked` awaits one), and its failures. */
export const openCapture = Effect.fnUntraced(function* (conversation = "c", uid = "u") {
  const recording = yield* Recording
  const [room, acked] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
  const acks: Array<number> = []
  const failures: Array<string> = []
  const capture = yield* recording.open({
    uid,
    sampleRate: rate,
    codec: "pcm16",
    exact: true,
    onAck: ({ bytes }) => {
      acks.push(bytes)
      Deferred.doneUnsafe(acked, Effect.void)
    },
    onRoom: () => Deferred.doneUnsafe(room, Effect.void),
    onFailure: ({ _tag }) => failures.push(_tag)
  })
  capture.switchTo(conversation)
  yield* Deferred.await(room)
  return { acked: Deferred.await(acked), acks, capture, failures }
})

/** Records `samples` and ends the capture: when it returns they are in the journal and sealed. */
export const record = (samples: number, from = 0, conversation = "c", uid = "u") =>
  openCapture(conversation, uid).pipe(
    Effect.map(({ capture }) => capture.append(epoch + from / rate, ramp(samples, from))),
    Effect.scoped
  )

/** All chunks of a conversation, by start: those in the journal, and the rows. */
export const allChunks = Effect.fnUntraced(function* (uid: string, conversation: string) {
  const live = yield* LiveConversations
  const now = [...(live.get(uid, conversation)?.chunks ?? [])].filter(({ durable }) => durable > 0)
  const stored = yield* Effect.flatMap(ChunkRows, (rows) =>
    Stream.runCollect(rows.peaks({ uid, conversation }, minKey, maxKey))
  ).pipe(Effect.map((rows) => rows.map(({ chunk }) => chunk)))
  const ids = new Set(stored.map(({ id }) => id))
  return [...stored, ...now.map((chunk) => chunk.toChunk()).filter(({ id }) => !ids.has(id))].sort(
    (a, b) => a.start - b.start
  )
})

export const playback = Effect.gen(function* () {
  const recording = yield* Recording
  const chunks = yield* allChunks("u", "c")
  const audio = yield* Effect.forEach(chunks, (chunk) =>
    Stream.runCollect(recording.read(chunk, { start: 0, end: chunk.samples * 2 }))
  )
  return {
    states: chunks.map((chunk) => chunk.state),
    sums: chunks.map((chunk) => chunk.object),
    audio: Buffer.concat(audio.flat())
  }
})

/** Ends the replay window of what is stored: it can be compared only with the store. */
export const leaveJournal = Effect.flatMap(LiveConversations, (live) => live.releaseRetained("all"))
/** All chunks are stored, and have left the journal. */
export const idle = Effect.andThen(
  Effect.flatMap(Uploads, (uploads) => uploads.idle),
  leaveJournal
)
export const sweep = Effect.flatMap(Uploads, (uploads) => Effect.andThen(uploads.sweep, uploads.idle))
export const liveChunks = Effect.map(LiveConversations, (live) => [...live.chunks()].length)
export const segments = Effect.map(Journal, (journal) => journal.stats().segments)
export const objects = Effect.flatMap(Storage, (storage) => Effect.map(storage.list("chunks/"), (page) => page.objects))
export const rowCount = Effect.flatMap(Db, (db) =>
  Effect.map(
    db.read("test", (sql) => sql<{ readonly count: number }>`select count(*)::int as count from chunks`),
    (rows) => rows[0]?.count
  )
)

const world = Layer.mergeAll(MemoryStorage.layer, Postgres.layer, Layer.succeed(References.MinimumLogLevel, "None"))
export const inWorld = <A, E, R>(test: Effect.Effect<A, E, R>) =>
  test.pipe(Effect.provide(Layer.fresh(world)), Effect.scoped)

export const unavailable = new StorageUnavailable({ operation: "put", bucket: "b", key: "k", cause: "down" })

/** Every put fails while `state.down`; afterwards those of user `stuck`, whose keys are taken. */
export const failing = () => {
  const state = { puts: 0, down: true }
  const put = <A, E>(
    put: Effect.Effect<A, E>,
    key: string
  ): Effect.Effect<A, E | StorageUnavailable | ObjectConflict> =>
    Effect.suspend((): Effect.Effect<A, E | StorageUnavailable | ObjectConflict> => {
      state.puts++
      if (state.down) return unavailable
      return key.startsWith("chunks/stuck/") ? new ObjectConflict({ operation: "put", bucket: "b", key }) : put
    })
  return { put, state }
}

export const storedOf = (uid: string) =>
  Effect.map(objects, (objects) => objects.filter(({ key }) => key.startsWith(`chunks/${uid}/`)).length)

/** Chunks of a conversation by start, and their audio. */
export const chunksOf = (uid: string, conversation: string) =>
  Effect.gen(function* () {
    const recording = yield* Recording
    const chunks = yield* allChunks(uid, conversation)
    const audio = yield* Effect.forEach(
      chunks.filter(({ state }) => state !== "lost"),
      (chunk) => Stream.runCollect(recording.read(chunk, { start: 0, end: chunk.samples * 2 }))
    )
    return {
      lost: chunks.filter(({ state }) => state === "lost").length,
      lengths: chunks.map(({ samples }) => samples),
      audio: Buffer.concat(audio.flat())
    }
  })
