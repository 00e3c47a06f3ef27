/** `src/Chat/Rooms.ts` on a real database. */
import { assert, layer } from "@effect/vitest"
import { Effect, Exit, Layer, PubSub } from "effect"
import { SqlClient } from "effect/sql"
import { Notifications } from "../../src/Db.ts"
import { DbServer } from "../../src/Db/DbServer.ts"
import { ChatConfig } from "../../src/Chat/ChatConfig.ts"
import { MessageRows } from "../../src/Chat/MessageRows.ts"
import { Rooms } from "../../src/Chat/Rooms.ts"
import { environment } from "../support/Settings.ts"
import * as World from "./support/World.ts"

/** Reads of changes, by stream. */
const reads = new Map<number, number>()

/** Streams whose next state can't be read. */
const broken = new Set<number>()

const counted = Layer.effect(
  MessageRows,
  Effect.map(MessageRows, (rows) =>
    MessageRows.of({
      ...rows,
      states: (streams) =>
        streams.some((stream) => broken.delete(stream)) ? Effect.die("a row can't be decoded") : rows.states(streams),
      changes: (stream, after, limit) => {
        reads.set(stream, (reads.get(stream) ?? 0) + 1)
        return rows.changes(stream, after, limit)
      }
    })
  )
)

/** A node of its own. */
const nodeOf = (pollInterval: string) =>
  Layer.fresh(
    Rooms.layer.pipe(
      Layer.provide(counted),
      Layer.provideMerge(Notifications.layer),
      Layer.provide(ChatConfig.layer.pipe(Layer.provide(environment({ CHAT_POLL_INTERVAL: pollInterval }))))
    )
  )

const listening = Effect.gen(function* () {
  const { isListening } = yield* Notifications
  yield* Effect.repeat(Effect.delay(Effect.sync(isListening), "10 millis"), { until: (is) => is })
})

/** Ids of the next changes. */
const take = (batches: PubSub.Subscription<{ readonly frames: ReadonlyArray<{ readonly id: number | undefined }> }>) =>
  Effect.map(PubSub.take(batches), ({ frames }) => frames.map(({ id }) => id))

layer(World.layer, { excludeTestServices: true })("A room", (it) => {
  it.effect("reads what is posted on any node once for all its readers, and not what was before them", () =>
    Effect.gen(function* () {
      yield* listening
      const rooms = yield* Rooms
      const stream = yield* World.stream()
      yield* World.post(stream, "ada")
      const room = yield* rooms.join(stream)
      assert.strictEqual(room.position(), 1)
      const readers = yield* Effect.forEach([1, 2, 3], () => PubSub.subscribe(room.batches))
      assert.strictEqual(yield* rooms.join(stream), room)
      const before = reads.get(stream) ?? 0
      const { id } = yield* World.post(stream, "bob")
      for (const reader of readers) assert.deepStrictEqual(yield* take(reader), [id])
      assert.isAtMost((reads.get(stream) ?? 0) - before, 2)
      assert.strictEqual(room.position(), id)
    }).pipe(Effect.provide(nodeOf("1 hour")))
  )

  it.effect("opens again at once after a defect", () =>
    Effect.gen(function* () {
      const rooms = yield* Rooms
      const stream = yield* World.stream()
      broken.add(stream)
      assert.isTrue(Exit.hasDies(yield* Effect.exit(Effect.scoped(rooms.join(stream)))))
      assert.strictEqual((yield* rooms.join(stream)).stream, stream)
    }).pipe(Effect.provide(nodeOf("1 hour")))
  )

  it.effect("sends what was posted while notifications were down when they are back", () =>
    Effect.gen(function* () {
      yield* listening
      const sql = yield* SqlClient.SqlClient
      const { isListening } = yield* Notifications
      const stream = yield* World.stream()
      const room = yield* Rooms.use((rooms) => rooms.join(stream))
      const reader = yield* PubSub.subscribe(room.batches)
      yield* sql`select pg_terminate_backend(pid) from pg_stat_activity where query ilike 'listen%' and datname = current_database()`
      yield* Effect.repeat(Effect.delay(Effect.sync(isListening), "5 millis"), { until: (is) => !is })
      const { id } = yield* World.post(stream, "ada")
      assert.deepStrictEqual(yield* take(reader), [id])
    }).pipe(Effect.provide(nodeOf("1 hour")))
  )

  it.effect("is polled behind a pooler: messages, settings and the end of its stream", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { isListening } = yield* Notifications
      assert.isFalse(isListening())
      const stream = yield* World.stream()
      const room = yield* Rooms.use((rooms) => rooms.join(stream))
      const reader = yield* PubSub.subscribe(room.batches)
      const { id } = yield* World.post(stream, "ada")
      assert.deepStrictEqual(yield* take(reader), [id])
      yield* sql`update streams set slow_mode_seconds = 7 where id = ${stream}::bigint`
      assert.deepStrictEqual(yield* take(reader), [undefined])
      assert.strictEqual(room.settings().slowModeSeconds, 7)
      yield* sql`update streams set deleted_at = now() where id = ${stream}::bigint`
      const last = yield* PubSub.take(reader)
      assert.strictEqual(last.frames[0]?.closes?.code, 4004)
      const gone = yield* Effect.flip(Rooms.use((rooms) => Effect.scoped(rooms.join(stream + 1_000))))
      assert.strictEqual(gone._tag, "NoRoom")
    }).pipe(
      Effect.provide(
        nodeOf("50 millis").pipe(
          Layer.provide(
            Layer.effect(
              DbServer,
              Effect.map(DbServer, (server) => ({ ...server, pooled: true }))
            )
          )
        )
      )
    )
  )
})
