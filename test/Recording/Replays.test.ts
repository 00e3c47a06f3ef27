/** Replays across all of `src/Recording`: compared with the journal, the store and the database. */
import { assert, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Option, Stream } from "effect"
import { SqlClient } from "effect/sql"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { type DbError, DbUnavailable } from "../../src/Db.ts"
import { Recording } from "../../src/Recording.ts"
import { LiveConversations } from "../../src/Recording/Journal/LiveConversations.ts"
import { Storage } from "../../src/Storage.ts"
import type { Chunk } from "../../src/Recording/Chunk.ts"
import { Uploads } from "../../src/Recording/Upload/Uploads.ts"
import { open, send, frames, onNode, loaded, durable, heard } from "./support/StoredDevice.ts"
import {
  allChunks,
  epoch,
  failing,
  type Hooks,
  idle,
  inWorld,
  liveChunks,
  node,
  rate,
  record
} from "./support/StoringNode.ts"
import { ramp } from "./support/TestNode.ts"
import { temporaryDirectory } from "../support/TemporaryDirectory.ts"

for (const level of ["standard", "enhanced"] as const)
  it.live(`keeps stored audio once when it is sent again in other frames, from the middle of one (${level})`, () =>
    onNode(
      Effect.gen(function* () {
        const { bytes, shifts } = yield* send(frames(3500, 35 * rate, 2960))
        assert.deepStrictEqual([bytes, shifts], [(35 * rate - 3500) * 2, []])
        assert.isTrue((yield* heard).equals(ramp(35 * rate)))
      }),
      { level }
    )
  )

it.live("keeps new audio for a time that is already stored, reports the clock shift and stores it", () =>
  onNode(
    Effect.gen(function* () {
      const { bytes, shifts } = yield* send(frames(0, 10 * rate, 800, 1_000_000))
      assert.deepStrictEqual([bytes, shifts], [20 * rate, [30]])
      assert.isTrue((yield* heard).equals(Buffer.concat([ramp(30 * rate), ramp(10 * rate, 1_000_000)])))
      const recording = yield* Recording
      assert.strictEqual(Option.getOrThrow(yield* recording.conversation("u", "c", { files: 1 })).clockShifts, 1)
      const sql = yield* SqlClient.SqlClient
      while ((yield* sql`select from chunks`).length < 2) yield* Effect.sleep("5 millis")
      assert.deepStrictEqual(yield* sql`select clock_shift as shift from chunks order by start_at`, [
        { shift: 0 },
        { shift: 30 }
      ])
      const { conversations } = yield* recording.conversations("u", { limit: 1, files: 1 })
      assert.deepStrictEqual(
        conversations.map(({ clockShifts }) => clockShifts),
        [1]
      )
    })
  )
)

it.live("records audio that is sent again for a lost span", () =>
  onNode(
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`
        insert into chunks (uid, conversation_id, start_at, id, samples, sample_rate, codec, lost, begins, at, skip, heard,
                            lost_samples, heard_end, end_at)
        values ('u', 'c', ${epoch + 30}::float8, gen_random_uuid(), ${5 * rate}, ${rate}, 'pcm16', true, false,
                ${String((epoch + 30) * rate)}::bigint, 0, 0, ${5 * rate}, ${String((epoch + 30) * rate)}::bigint,
                ${String((epoch + 35) * rate)}::bigint)`
      const { shifts } = yield* send(frames(25 * rate, 35 * rate, 800))
      assert.deepStrictEqual(shifts, [])
      assert.isTrue((yield* heard).equals(ramp(35 * rate)))
    })
  )
)

const down = new DbUnavailable({ operation: "test", attempts: 1, cause: "down" })
const failures: ReadonlyArray<readonly [string, () => Stream.Stream<never, DbUnavailable>]> = [
  ["the database fails", () => Stream.fail(down)],
  ["the database does not answer", () => Stream.never],
  ["it dies", () => Stream.die("a bug")]
]

for (const [what, compare] of failures)
  it.live(`keeps all audio, replays included, while it can't be compared because ${what}`, () =>
    onNode(
      Effect.gen(function* () {
        const { send, received } = yield* open
        yield* loaded
        yield* send(frames(28 * rate, 33 * rate, 800))
        while (received.bytes < 10 * rate) yield* Effect.sleep("5 millis")
        assert.deepStrictEqual(received.shifts, [2])
        assert.isTrue((yield* heard).equals(Buffer.concat([ramp(30 * rate), ramp(5 * rate, 28 * rate)])))
      }).pipe(Effect.scoped),
      { compare },
      { conversationLookup: Duration.millis(300) }
    )
  )

it.live("recognizes a replay when database and store answer again in time", () => {
  let failures = 3
  const compare = (rows: Stream.Stream<Chunk, DbError>) =>
    Stream.suspend(() => (failures-- > 0 ? Stream.fail(down) : rows))
  return onNode(
    Effect.gen(function* () {
      const { shifts } = yield* send(frames(28 * rate, 33 * rate, 800))
      assert.deepStrictEqual(shifts, [])
      assert.isTrue((yield* heard).equals(ramp(33 * rate)))
      assert.isBelow(failures, 0)
    }),
    { compare }
  )
})

for (const how of ["", " on a node that was killed"])
  it.live(`recognizes replays of stored audio without the store for the replay window${how}`, () =>
    Effect.gen(function* () {
      const [dataDir, copy] = [yield* temporaryDirectory, yield* temporaryDirectory]
      let reads = 0
      const again = Effect.gen(function* () {
        assert.strictEqual(yield* liveChunks, 0)
        const { shifts } = yield* send(frames(28 * rate, 33 * rate, 800))
        assert.deepStrictEqual([reads, shifts], [0, []])
        assert.isTrue((yield* heard).equals(ramp(33 * rate)))
      })
      const hooks = { onRead: () => reads++ }
      yield* Effect.gen(function* () {
        yield* record(30 * rate)
        yield* (yield* Uploads).idle
        if (how === "") return yield* again
        Fs.cpSync(Path.join(dataDir, "journal"), Path.join(copy, "journal"), { recursive: true })
        yield* Effect.provide(again, node(copy, hooks))
      }).pipe(Effect.provide(node(dataDir, hooks)))
    }).pipe(inWorld)
  )

it.live("recognizes a replay over a chunk of less than a millisecond that has left the journal", () =>
  Effect.gen(function* () {
    yield* Effect.gen(function* () {
      const live = yield* LiveConversations
      const [from, to] = [rate, rate + 5]
      for (const [start, end] of [
        [0, from],
        [from, to],
        [to, 2 * rate]
      ] as const)
        yield* send(frames(start, end, end - start))
      yield* (yield* Uploads).idle
      const conversation = live.get("u", "c") ?? assert.fail("it is in the journal")
      const short = conversation.inJournal.find(({ durable }) => durable === 10) ?? assert.fail("it has 5 samples")
      yield* live.release(short)
      assert.lengthOf(conversation.inJournal, 2)
      const { shifts } = yield* send([...frames(2 * rate, 3 * rate, rate), ...frames(rate / 2, 4 * rate, rate)])
      assert.deepStrictEqual(shifts, [])
      assert.isTrue((yield* heard).equals(ramp(4 * rate)))
    }).pipe(Effect.provide(node(yield* temporaryDirectory)))
  }).pipe(inWorld)
)

it.live("knows what another node has recorded since its own last capture", () =>
  Effect.gen(function* () {
    const [dataDir, other] = [yield* temporaryDirectory, yield* temporaryDirectory]
    yield* Effect.gen(function* () {
      yield* record(30 * rate)
      yield* (yield* Uploads).idle
      yield* record(10 * rate, 30 * rate).pipe(Effect.andThen(idle), Effect.provide(node(other)))
      yield* send(frames(35 * rate, 45 * rate, 800))
      assert.strictEqual(
        (yield* allChunks("u", "c")).reduce((sum, { samples }) => sum + samples, 0),
        45 * rate
      )
      assert.isTrue((yield* heard).equals(ramp(45 * rate)))
    }).pipe(Effect.provide(node(dataDir)))
  }).pipe(inWorld)
)

it.live("acknowledges audio of a conversation that it knows while the database is away", () =>
  Effect.gen(function* () {
    const database = { isDown: false }
    const enter = <A, E>(row: Effect.Effect<A, E>) => Effect.suspend(() => (database.isDown ? Effect.die("down") : row))
    const { put } = failing()
    yield* Effect.gen(function* () {
      yield* record(30 * rate)
      database.isDown = true
      const { bytes } = yield* send(frames(25 * rate, 35 * rate, 800))
      assert.strictEqual(bytes, 20 * rate)
      assert.isTrue((yield* heard).equals(ramp(35 * rate)))
    }).pipe(Effect.provide(node(yield* temporaryDirectory, { enter, put })))
  }).pipe(inWorld)
)

it.live("keeps audio once that is sent again in an outage in which the conversation began", () =>
  Effect.gen(function* () {
    const { put } = failing()
    const hooks: Hooks = { enter: () => Effect.die("down"), compare: () => Stream.fail(down), put }
    yield* Effect.gen(function* () {
      yield* send(frames(0, 10 * rate, 800))
      const { shifts } = yield* send(frames(0, 12 * rate, 800))
      assert.deepStrictEqual(shifts, [])
      assert.isTrue((yield* heard).equals(ramp(12 * rate)))
    }).pipe(Effect.provide(node(yield* temporaryDirectory, hooks, { conversationLookup: Duration.seconds(5) })))
  }).pipe(inWorld)
)

it.live("releases stored audio from the journal when its replay window has passed", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    yield* Effect.gen(function* () {
      const live = yield* LiveConversations
      yield* record(30 * rate)
      yield* (yield* Uploads).idle
      yield* live.releaseRetained("old")
      assert.strictEqual(live.get("u", "c")?.inJournal.length, 1)
      yield* Effect.sleep("300 millis")
      yield* live.releaseRetained("old")
      assert.isUndefined(live.get("u", "c"))
    }).pipe(Effect.provide(node(dataDir, {}, { replayWindow: Duration.millis(250) })))
  }).pipe(inWorld)
)

it.live("keeps all audio when it can't be compared because the store has lost the original", () =>
  onNode(
    Effect.gen(function* () {
      const storage = yield* Storage
      const { objects } = yield* storage.list("chunks/")
      for (const { key } of objects) yield* storage.remove(key)
      const { bytes } = yield* send(frames(28 * rate, 33 * rate, 800))
      assert.strictEqual(bytes, 10 * rate)
      const chunks = yield* allChunks("u", "c")
      assert.deepStrictEqual(
        chunks.map(({ samples, start }) => [Math.round(start - epoch), samples]),
        [
          [0, 30 * rate],
          [30, 5 * rate]
        ]
      )
    })
  )
)

for (const [what, enter] of [
  ["dies", () => Effect.die("a bug")],
  ["does not answer", () => Effect.never]
] as const)
  it.live(`records when the database ${what} as a capture enters, and later joins the conversation`, () =>
    onNode(
      Effect.gen(function* () {
        const { bytes } = yield* send(frames(40 * rate, 41 * rate, 800))
        assert.strictEqual(bytes, 0)
        assert.isTrue((yield* heard).equals(Buffer.concat([ramp(30 * rate), ramp(rate, 40 * rate)])))
      }),
      { enter },
      { conversationLookup: Duration.millis(300) }
    )
  )

it.live("acknowledges no audio that could overlap stored audio until it has been compared", () =>
  Effect.gen(function* () {
    const database = { isDown: true }
    const enter = <A, E>(row: Effect.Effect<A, E>) => Effect.suspend(() => (database.isDown ? Effect.die("down") : row))
    yield* onNode(
      Effect.gen(function* () {
        const sender = yield* open
        // A clock of whole seconds, which was set back.
        const late = (count: number) =>
          Array.from({ length: count }, (_, index) => ({
            start: epoch + 20 + Math.floor(index / 10),
            audio: ramp(rate / 10, 3_000_000 + (index * rate) / 10)
          }))
        yield* sender.send(late(10))
        yield* durable(2 * rate)
        assert.strictEqual(sender.received.bytes, 0)
        database.isDown = false
        assert.strictEqual(yield* Deferred.await(sender.failed), "NotWritten")
        const again = yield* send(late(10))
        assert.strictEqual(again.bytes, 2 * rate)
        const audio = yield* heard
        assert.isTrue(audio.includes(Buffer.from(ramp(rate, 3_000_000))))
        assert.isTrue(audio.subarray(0, 60 * rate).equals(ramp(30 * rate)))
      }).pipe(Effect.scoped),
      { enter },
      { conversationLookup: Duration.millis(300) }
    )
  })
)

it.live("stores nothing that could overlap stored audio until it has been compared", () =>
  Effect.gen(function* () {
    const database = { isDown: true }
    const enter = <A, E>(row: Effect.Effect<A, E>) => Effect.suspend(() => (database.isDown ? Effect.die("down") : row))
    yield* onNode(
      Effect.gen(function* () {
        const [live, uploads, sql] = [yield* LiveConversations, yield* Uploads, yield* SqlClient.SqlClient]
        const sender = yield* open
        yield* sender.send(frames(20 * rate, 23 * rate, 800, 3_000_000))
        const isSealed = () => [...(live.get("u", "c")?.chunks ?? [])].some(({ state }) => state === "waiting")
        while (!isSealed()) yield* Effect.sleep("5 millis")
        yield* uploads.idle
        assert.lengthOf(yield* sql`select from chunks`, 1)
        database.isDown = false
        assert.strictEqual(yield* Deferred.await(sender.failed), "NotWritten")
        yield* uploads.sweep
        yield* uploads.idle
        assert.lengthOf(yield* sql`select from chunks`, 4)
      }).pipe(Effect.scoped),
      { enter },
      { conversationLookup: Duration.millis(300), chunkDuration: Duration.seconds(1) }
    )
  })
)

it.live("loads the stored spans as soon as the database answers, while it records", () =>
  Effect.gen(function* () {
    const database = { isDown: true }
    const enter = <A, E>(row: Effect.Effect<A, E>) => Effect.suspend(() => (database.isDown ? Effect.die("down") : row))
    yield* onNode(
      Effect.gen(function* () {
        const sender = yield* open
        yield* sender.send(frames(40 * rate, 41 * rate, 800))
        database.isDown = false
        yield* loaded
        yield* sender.send(frames(20 * rate, 21 * rate, 800))
        yield* sender.send(frames(10 * rate, 11 * rate, 800, 3_000_000))
        assert.deepStrictEqual(sender.received.shifts, [31])
      }).pipe(
        Effect.scoped,
        Effect.andThen(heard),
        Effect.map((audio) =>
          assert.isTrue(
            audio.equals(Buffer.concat([ramp(30 * rate), ramp(rate, 40 * rate), ramp(rate, 3_000_000 + 10 * rate)]))
          )
        )
      ),
      { enter },
      // Also the pause before it is tried again, and a comparison must end in it.
      { conversationLookup: Duration.seconds(3) }
    )
  })
)

for (const where of ["in the journal, after a kill", "stored"] as const)
  it.live(`keeps replayed audio of a clock that was set back once, when it is ${where}`, () =>
    Effect.gen(function* () {
      const dataDir = yield* temporaryDirectory
      const hooks = where === "stored" ? {} : { put: failing().put }
      const other = 3_000_000
      yield* Effect.gen(function* () {
        yield* send(frames(0, 10 * rate, 800))
        yield* send(frames(0, 5 * rate, 800, other))
      }).pipe(Effect.andThen(where === "stored" ? idle : Effect.void), Effect.provide(node(dataDir, hooks)))
      yield* Effect.gen(function* () {
        const { shifts } = yield* send(frames(3 * rate, 7 * rate, 720, other))
        assert.deepStrictEqual(shifts, [10])
        assert.isTrue((yield* heard).equals(Buffer.concat([ramp(10 * rate), ramp(7 * rate, other)])))
      }).pipe(Effect.provide(node(dataDir, hooks)))
    }).pipe(inWorld)
  )

for (const where of ["in the journal, after a kill", "stored"] as const)
  it.live(`keeps replayed audio once of a clock that was set twice within a chunk, when it is ${where}`, () =>
    Effect.gen(function* () {
      const dataDir = yield* temporaryDirectory
      const hooks = where === "stored" ? {} : { put: failing().put }
      const on = node(dataDir, hooks, { chunkDuration: Duration.minutes(5) })
      const late = (seconds: number, from: number, to: number) =>
        frames(from * rate, to * rate, 800).map(({ audio, start }) => ({ audio, start: start - seconds }))
      yield* send([...late(0, 0, 10), ...late(5, 10, 12), ...late(0, 12, 14), ...late(2, 14, 16)]).pipe(
        Effect.andThen(where === "stored" ? idle : Effect.void),
        Effect.provide(on)
      )
      yield* Effect.gen(function* () {
        assert.lengthOf(yield* allChunks("u", "c"), 1)
        assert.deepStrictEqual((yield* send(late(2, 15, 17))).shifts, [2])
        assert.isTrue((yield* heard).equals(ramp(17 * rate)))
        assert.deepStrictEqual((yield* send(late(5, 10, 11))).shifts, [])
        assert.isTrue((yield* heard).equals(ramp(17 * rate)))
      }).pipe(Effect.provide(on))
    }).pipe(inWorld)
  )

it.live("compares replays with stored audio in the background, apart from the reads of listeners", () =>
  Effect.gen(function* () {
    const priorities = new Set<string>()
    const hooks: Hooks = { onRead: (priority) => priorities.add(priority) }
    yield* Effect.gen(function* () {
      yield* send(frames(0, 10 * rate, 800))
      yield* idle
      yield* send(frames(0, 10 * rate, 800))
      assert.deepStrictEqual([...priorities], ["background"])
      assert.isTrue((yield* heard).equals(ramp(10 * rate)))
      assert.deepStrictEqual([...priorities], ["background", "interactive"])
    }).pipe(Effect.provide(node(yield* temporaryDirectory, hooks)))
  }).pipe(inWorld)
)
