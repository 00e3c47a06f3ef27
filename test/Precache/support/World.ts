/** A node that precaches, on a real database and a store in memory that composes, or not. */
import { Context, Deferred, Duration, Effect, Layer, Option, Ref, References, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { StorageBulkheads } from "../../../src/Bulkhead.ts"
import { BulkheadConfig } from "../../../src/Bulkhead/BulkheadConfig.ts"
import { Deletion } from "../../../src/Deletion.ts"
import { Playback, PlaybackConfig } from "../../../src/Playback.ts"
import { Precache } from "../../../src/Precache.ts"
import { PrecacheConfig } from "../../../src/Precache/PrecacheConfig.ts"
import { Recording } from "../../../src/Recording.ts"
import { type ObjectHead, Storage, type StorageError } from "../../../src/Storage.ts"
import * as MemoryStorage from "../../../src/Storage/MemoryStorage.ts"
import { messages } from "../../Recording/support/OpusPackets.ts"
import { epoch, idle, node, record } from "../../Recording/support/StoringNode.ts"
import * as Postgres from "../../support/Postgres.ts"
import { environment } from "../../support/Settings.ts"
import { temporaryDirectory } from "../../support/TemporaryDirectory.ts"

type Making = Effect.Effect<ObjectHead, StorageError>

/** What the store does instead of making an object below `merged/`, and what it has read. */
export class Hooks extends Context.Service<
  Hooks,
  {
    readonly making: Ref.Ref<(key: string, making: Making) => Making>
    readonly reads: Ref.Ref<ReadonlyArray<string>>
    readonly free: Ref.Ref<number>
    readonly isComposer: boolean
  }
>()("spillway/test/Precache/support/World/Hooks") {}

const storage = Layer.effect(
  Storage,
  Effect.gen(function* () {
    const { free, isComposer, making, reads } = yield* Hooks
    const store = MemoryStorage.make(64 * 1_024 * 1_024)
    const hooked = (key: string, making_: Making) =>
      key.startsWith("merged/") ? Effect.flatMap(Ref.get(making), (hook) => hook(key, making_)) : making_
    const count = (key: string) => Ref.update(reads, (keys) => [...keys, key])
    // Errors of the hook are those of the adapter.
    const as = <E>(made: Making) => Effect.mapError(made, (error): E => error as E)
    return Storage.of({
      ...store,
      isComposer,
      freeBytes: Ref.get(free),
      put: (object) => as(hooked(object.key, store.put(object))),
      compose: (target, sources) => as(hooked(target.key, store.compose(target, sources))),
      get: (key, range) => Stream.unwrap(Effect.as(count(key), store.get(key, range))),
      read: (key, range) => Effect.andThen(count(key), store.read(key, range))
    })
  })
)

export interface WorldOptions {
  readonly isComposer?: boolean
  readonly level?: "standard" | "enhanced"
  readonly env?: Readonly<Record<string, string>>
}

export const world = ({ env = {}, isComposer = true, level = "standard" }: WorldOptions = {}) =>
  Layer.unwrap(
    Effect.map(temporaryDirectory, (directory) =>
      Precache.layer.pipe(
        Layer.provideMerge(Playback.layer),
        Layer.provideMerge(Deletion.layer),
        Layer.provide(StorageBulkheads.layer.pipe(Layer.provide(BulkheadConfig.layer))),
        Layer.provide([PlaybackConfig.layer, PrecacheConfig.layer, BulkheadConfig.layer]),
        Layer.provideMerge(node(directory, { level })),
        Layer.provideMerge(storage),
        Layer.provideMerge(
          Layer.effect(
            Hooks,
            Effect.gen(function* () {
              return {
                isComposer,
                making: yield* Ref.make((_key: string, making: Making) => making),
                reads: yield* Ref.make<ReadonlyArray<string>>([]),
                free: yield* Ref.make(Infinity)
              }
            })
          )
        ),
        Layer.provideMerge(Postgres.layer),
        Layer.provide(Layer.succeed(References.MinimumLogLevel, "None")),
        Layer.provide(environment(env))
      )
    )
  )

/** Another node on the database and the store of the world. */
export const otherNode = Layer.fresh(
  Precache.layer.pipe(
    Layer.provide(StorageBulkheads.layer.pipe(Layer.provide(BulkheadConfig.layer))),
    Layer.provide(PrecacheConfig.layer),
    Layer.provide(environment({}))
  )
)

/** Records seconds `from` to `to` of a conversation of user `u`, and stores them. */
export const recordSeconds = (from: number, to: number, conversation = "c") =>
  Effect.andThen(record((to - from) * 8_000, from * 8_000, conversation), idle)

/** Records Opus packets of a conversation of user `u`, from a second after the epoch, and stores them. */
export const recordOpus = (all: ReadonlyArray<Uint8Array>, from: number, rate: number) =>
  Effect.gen(function* () {
    const recording = yield* Recording
    let room = yield* Deferred.make<void>()
    const capture = yield* recording.open({
      uid: "u",
      sampleRate: rate,
      codec: "opus",
      exact: true,
      onAck: () => {},
      onRoom: () => Deferred.doneUnsafe(room, Effect.void),
      onFailure: () => {}
    })
    capture.switchTo("c")
    yield* Deferred.await(room)
    for (const { audio, start } of messages(all, { rate, seed: 1, start: epoch + from })) {
      room = yield* Deferred.make<void>()
      if (capture.append(start, audio) === "full") yield* Deferred.await(room)
    }
  }).pipe(Effect.scoped, Effect.andThen(idle))

/** Does all that is due, and what becomes due with it. */
export const sweep = Effect.gen(function* () {
  const precache = yield* Precache
  const sql = yield* SqlClient.SqlClient
  yield* sql`update artifacts set due_at = now() where due_at is not null`
  yield* sql`update artifact_turns set due_at = now()`
  while ((yield* precache.sweep) > 0);
  yield* precache.idle
})

export interface Row {
  readonly id: string
  readonly file: string
  readonly format: string
  readonly key: string | null
  readonly fingerprint: string | null
  readonly reason: string | null
  readonly attempts: number
  readonly isWanted: boolean
}

export const rows = SqlClient.SqlClient.use(
  (sql) => sql<Row>`
    select id::text as id, file, format, key, fingerprint, reason, attempts, due_at is not null as "isWanted"
    from artifacts order by file, format`
)

/** Minutes until the objects of tombstones are deleted, by key. */
export const doomed = SqlClient.SqlClient.use((sql) =>
  Effect.map(
    sql<{ readonly key: string; readonly generation: string; readonly minutes: number }>`
      select key, generation, round(extract(epoch from due_at - now()) / 60)::int as minutes from tombstones order by key`,
    (all) => new Map(all.map(({ generation, key, minutes }) => [`${key}${generation}`, minutes]))
  )
)

export const merged = Storage.use((storage) =>
  Effect.map(storage.list("merged/"), ({ objects }) => objects.map(({ key }) => key))
)

/** The file as the audio route sends it. */
export const wav = Effect.fnUntraced(function* (file: string, conversation = "c", format: "wav" | "ogg" = "wav") {
  const playback = yield* Playback
  const rendition = Option.getOrThrow(yield* playback.open("u", conversation, file, format))
  const { first, next } = yield* rendition.begin({ start: 0, end: rendition.size ?? Infinity })
  const all = [...first]
  for (let pieces = yield* next; pieces !== undefined; pieces = yield* next) all.push(...pieces)
  return { etag: rendition.etag, bytes: Buffer.concat(all) }
}, Effect.scoped)

export const bytesOf = (key: string) => Storage.use((storage) => Stream.mkUint8Array(storage.get(key)))

export const minutes = (duration: Duration.Duration) => Math.round(Duration.toMinutes(duration))
