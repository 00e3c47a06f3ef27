/** Orphans on a real database, in memory and on disk. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { Db } from "../../../src/Db.ts"
import { NodeConfig } from "../../../src/NodeConfig.ts"
import { Orphans, type OrphansPage } from "../../../src/Recording.ts"
import { type ObjectHead, Storage } from "../../../src/Storage.ts"
import * as MemoryStorage from "../../../src/Storage/MemoryStorage.ts"
import { diskStorage } from "../../Storage/support/TestDisk.ts"
import { random } from "../../support/Crash.ts"
import * as Postgres from "../../support/Postgres.ts"
import { seed } from "../../support/Seed.ts"
import { temporaryDirectory } from "../../support/TemporaryDirectory.ts"
import { insertChunks, keyOf } from "../support/ChunkFixture.ts"
import { recordingConfig } from "../support/TestNode.ts"

const orphans = (dataDir: string, pageSize = 1_000) =>
  Orphans.layerWith({ pageSize }).pipe(
    Layer.provide([Layer.succeed(NodeConfig, { dataDir }), recordingConfig()]),
    Layer.provideMerge(Postgres.layer)
  )

const later = DateTime.makeUnsafe("9999-01-01T00:00:00Z")

const put = (key: string, body = key) =>
  Storage.use((storage) =>
    storage.put({ key, body: new TextEncoder().encode(body), contentType: "text/plain", metadata: {} })
  )

const all = Effect.fnUntraced(function* (before = later) {
  const { page } = yield* Orphans
  const pages: Array<OrphansPage> = []
  for (let after: string | undefined = ""; after !== undefined;) {
    const found: OrphansPage = yield* page(after, before)
    pages.push(found)
    after = found.next
  }
  const sum = (of: (page: OrphansPage) => number) => pages.reduce((sum, page) => sum + of(page), 0)
  return {
    pages: pages.length,
    orphans: pages.flatMap(({ orphans }) => orphans),
    missing: pages.flatMap(({ missing }) => missing.map(({ key }) => key)),
    damaged: pages.flatMap(({ damaged }) => damaged.map(({ key }) => key)),
    objects: sum(({ objects }) => objects),
    rows: sum(({ rows }) => rows),
    young: sum(({ young }) => young),
    other: sum(({ other }) => other),
    foreign: sum(({ foreign }) => foreign)
  }
})

const keysOf = (found: { readonly orphans: ReadonlyArray<{ readonly key: string }> }) =>
  found.orphans.map(({ key }) => key)

const chunk = (uid: string, start: number, conversation = "c") => ({ uid, conversation, start })

const stores = {
  memory: () => MemoryStorage.layer,
  disk: diskStorage
}

/** Runs a test with each store. */
const onEach = <A, E>(title: string, test: Effect.Effect<A, E, Orphans | Storage | SqlClient.SqlClient>) => {
  for (const [name, store] of Object.entries(stores))
    it.live(`${title} (${name})`, () =>
      Effect.gen(function* () {
        const dataDir = yield* temporaryDirectory
        yield* test.pipe(Effect.provide(orphans(dataDir, 3).pipe(Layer.provideMerge(store(dataDir)))))
      }).pipe(Effect.scoped)
    )
}

describe("Orphans", () => {
  onEach(
    "finds chunks without a row and rows without an object, and leaves all other objects",
    Effect.gen(function* () {
      const [known, unknown, absent] = [chunk("ada", 1), chunk("ada", 2), chunk("Zoe", 3)]
      yield* insertChunks([known, absent])
      yield* put(keyOf(known))
      const { generation } = yield* put(keyOf(unknown))
      for (const key of [
        "merged/ada/c/file.wav",
        "syncing/ada/job/1_2.bin",
        "ada/people_profiles/grace/7f1.wav",
        "chunks/ada/c/notes.txt",
        "backups/2026.tar",
        "chunks/ada/c/3.000.batch.bin/x"
      ])
        yield* put(key)
      const found = yield* all()
      assert.deepStrictEqual(
        found.orphans.map((orphan) => ({ key: orphan.key, generation: orphan.generation, size: orphan.size })),
        [{ key: keyOf(unknown), generation, size: keyOf(unknown).length }]
      )
      assert.deepStrictEqual(found.missing, [keyOf(absent)])
      const { damaged, foreign, objects, other, rows, young } = found
      assert.deepStrictEqual(
        { damaged, foreign, objects, other, rows, young },
        { damaged: [], foreign: 3, objects: 8, other: 3, rows: 2, young: 0 }
      )
    })
  )

  onEach(
    "counts a chunk without a row as young until it has the age of an orphan",
    Effect.gen(function* () {
      const { createdAt } = yield* put(keyOf(chunk("ada", 1)))
      const at = DateTime.fromDateUnsafe(createdAt)
      const young = yield* all(at)
      assert.deepStrictEqual([keysOf(young), young.young], [[], 1])
      const old = yield* all(DateTime.add(at, { milliseconds: 1 }))
      assert.deepStrictEqual([keysOf(old), old.young], [[keyOf(chunk("ada", 1))], 0])
    })
  )

  onEach(
    "finds the same whatever objects and rows the pages hold",
    Effect.gen(function* () {
      const next = random(seed)
      const chunks = Array.from({ length: 60 }, (_, start) =>
        chunk(next() < 0.5 ? "Ada" : "ada", start, next() < 0.5 ? "c-1" : "c.2")
      )
      // Runs of orphans and of missing objects, longer than a page.
      const kinds = chunks.map(() => ["both", "object", "row"][Math.floor(next() * 3)] ?? "both")
      for (let at = 10; at < 20; at++) kinds[at] = "object"
      for (let at = 30; at < 40; at++) kinds[at] = "row"
      const of = (...wanted: ReadonlyArray<string>) => chunks.filter((_, at) => wanted.includes(kinds[at] ?? ""))
      yield* insertChunks(of("both", "row"))
      yield* Effect.forEach(of("both", "object"), (each) => put(keyOf(each)))
      const found = yield* all()
      assert.isAbove(found.pages, 10)
      assert.deepStrictEqual(keysOf(found), of("object").map(keyOf).sort())
      assert.deepStrictEqual(found.missing, of("row").map(keyOf).sort())
      assert.deepStrictEqual([found.objects, found.rows], [of("both", "object").length, of("both", "row").length])
    })
  )

  onEach(
    "removes the orphans of a report, but none that has a row by now or is another object",
    Effect.gen(function* () {
      const storage = yield* Storage
      const { remove } = yield* Orphans
      const [first, imported, replaced] = [chunk("ada", 1), chunk("ada", 2), chunk("ada", 3)]
      for (const each of [first, imported, replaced]) yield* put(keyOf(each))
      const listed = (yield* all()).orphans
      yield* insertChunks([imported])
      yield* storage.remove(keyOf(replaced))
      yield* put(keyOf(replaced), "other audio")
      const foreign = yield* put("backups/2026.tar")
      assert.strictEqual(yield* remove([...listed, foreign]), 2)
      assert.deepStrictEqual(
        (yield* storage.list("")).objects.map(({ key }) => key),
        ["backups/2026.tar", keyOf(imported), keyOf(replaced)]
      )
      assert.strictEqual(yield* remove(listed), 2, "once more, without effect")
      assert.strictEqual((yield* storage.list("")).objects.length, 3)
    })
  )

  it.live("takes nothing for an orphan or for missing that is stored, imported or purged meanwhile", () => {
    const [imported, purged, stored] = [chunk("ada", 1), chunk("ada", 2), chunk("ada", 3)]
    /** What other nodes do between the reads of a page. */
    const busy = Layer.effect(
      Storage,
      Effect.gen(function* () {
        const storage = yield* Storage
        const sql = yield* SqlClient.SqlClient
        const list: (typeof storage)["list"] = (prefix, options) =>
          Effect.gen(function* () {
            yield* insertChunks([imported])
            yield* sql`DELETE FROM chunks WHERE object_key = ${keyOf(purged)}`
            yield* storage.remove(keyOf(purged))
            const page = yield* storage.list(prefix, options)
            yield* storage.put({ ...object, key: keyOf(stored) })
            yield* insertChunks([stored])
            return page
          }).pipe(Effect.provideService(SqlClient.SqlClient, sql), Effect.orDie)
        return { ...storage, list }
      })
    )
    const object = { body: new Uint8Array(2), contentType: "text/plain", metadata: {} }
    const layer = Orphans.layer.pipe(
      Layer.provide([Layer.succeed(NodeConfig, { dataDir: "/" }), recordingConfig(), busy]),
      Layer.provideMerge(MemoryStorage.layer),
      Layer.provideMerge(Postgres.layer)
    )
    return Effect.gen(function* () {
      yield* insertChunks([purged])
      yield* put(keyOf(imported))
      yield* put(keyOf(purged))
      const found = yield* all()
      assert.deepStrictEqual([keysOf(found), found.missing], [[], []])
    }).pipe(Effect.provide(layer))
  })

  it.live("passes objects that the store can't list, and reports them", () =>
    Effect.gen(function* () {
      const dataDir = yield* temporaryDirectory
      yield* Effect.gen(function* () {
        const chunks = Array.from({ length: 9 }, (_, start) => chunk("ada", start))
        yield* insertChunks(chunks.slice(4, 6))
        for (const each of chunks) yield* put(keyOf(each))
        const damaged = chunks.slice(3, 5).map(keyOf)
        for (const key of damaged) Fs.truncateSync(Path.join(dataDir, "objects", `${key}=`), 3)
        const found = yield* all()
        assert.deepStrictEqual(found.damaged, damaged)
        assert.deepStrictEqual(found.missing, [])
        assert.deepStrictEqual(
          keysOf(found),
          [0, 1, 2, 6, 7, 8].map((start) => keyOf(chunk("ada", start)))
        )
      }).pipe(Effect.provide(orphans(dataDir, 4).pipe(Layer.provideMerge(diskStorage(dataDir)))))
    }).pipe(Effect.scoped)
  )

  it.live("tells databases and directories apart", () =>
    Effect.gen(function* () {
      const placeOf = (dataDir: string) =>
        Orphans.use(({ place }) => place).pipe(
          Effect.provide(orphans(dataDir).pipe(Layer.provide(diskStorage(dataDir))))
        )
      const [one, other] = [yield* temporaryDirectory, yield* temporaryDirectory]
      const places = [yield* placeOf(one), yield* placeOf(one), yield* placeOf(other)]
      assert.strictEqual(places[0]?.store, `the directory ${one}/objects`)
      assert.strictEqual(places[0]?.store, places[1]?.store)
      assert.notStrictEqual(places[0]?.store, places[2]?.store)
      assert.strictEqual(new Set(places.map((place) => place?.database)).size, 3)
    }).pipe(Effect.scoped)
  )
})

/** A store that has this many chunks, and computes its listing. */
const virtualStore = (count: number, counts: { lists: number }) =>
  Layer.mock(Storage, {
    isComposer: false,
    freeBytes: Effect.succeed(Infinity),
    bucket: "virtual",
    list: (_prefix, { after = "", limit = 1_000 } = {}) =>
      Effect.sync(() => {
        counts.lists++
        const passed = after.startsWith("chunks/ada/")
          ? Number(/(\d+)\.000/.exec(after)?.[1]) - 1_700_000_000 + 1
          : count
        const from = after === "" ? 0 : passed
        const to = Math.min(count, from + limit)
        const objects = Array.from({ length: to - from }, (_, at): ObjectHead => ({
          key: keyOf(chunk("ada", 1_700_000_000 + from + at)),
          size: 1,
          crc32c: 0,
          generation: "1",
          contentType: "text/plain",
          metadata: {},
          createdAt: new Date(0)
        }))
        return { objects, next: to < count ? objects.at(-1)?.key : undefined }
      })
  })

describe("the cost of an object", () => {
  it.live("is the same for 10 and for 50,000, in queries, in listings and in time", () =>
    Effect.gen(function* () {
      const measured = Effect.fnUntraced(function* (count: number) {
        const counts = { lists: 0, queries: 0 }
        const countedDb = Layer.effect(
          Db,
          Effect.map(Db, (db) => ({
            ...db,
            read: (operation, query) => Effect.suspend(() => (counts.queries++, db.read(operation, query)))
          }))
        )
        const layer = Orphans.layer.pipe(
          Layer.provide([Layer.succeed(NodeConfig, { dataDir: "/" }), recordingConfig(), virtualStore(count, counts)]),
          Layer.provide(countedDb),
          Layer.provideMerge(Postgres.layer)
        )
        return yield* Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          // Every tenth object is an orphan, and every tenth row has none.
          const rows = Array.from({ length: count }, (_, at) => at).filter((at) => at % 10 !== 0)
          for (let at = 0; at < rows.length; at += 5_000)
            yield* insertChunks(rows.slice(at, at + 5_000).map((row) => chunk("ada", 1_700_000_000 + row)))
          yield* insertChunks(rows.filter((row) => row % 10 === 1).map((row) => chunk("zoe", 1_700_000_000 + row)))
          yield* sql`ANALYZE chunks`
          const { page } = yield* Orphans
          const findings = { orphans: 0, missing: 0 }
          const began = performance.now()
          for (let after: string | undefined = ""; after !== undefined;) {
            const found: OrphansPage = yield* page(after, later)
            findings.orphans += found.orphans.length
            findings.missing += found.missing.length
            after = found.next
          }
          const plan = yield* sql`
            EXPLAIN (FORMAT TEXT) SELECT object_key FROM chunks
            WHERE object_key IS NOT NULL AND object_key COLLATE "C" > ${keyOf(chunk("ada", 1_700_000_000))}
            ORDER BY object_key COLLATE "C" LIMIT 10`
          return {
            ...counts,
            ...findings,
            micros: ((performance.now() - began) * 1e3) / count,
            plan: JSON.stringify(plan)
          }
        }).pipe(Effect.provide(Layer.fresh(layer)))
      })
      const [few, many] = [yield* measured(10), yield* measured(50_000)]
      assert.deepStrictEqual([few.orphans, few.missing], [1, 1])
      assert.deepStrictEqual([many.orphans, many.missing], [5_000, 5_000])
      // Two queries and one listing for up to 1,000 objects, and those for the rows behind the last object.
      assert.deepStrictEqual([few.lists, few.queries], [1, 2])
      assert.isAtMost(many.lists, 56)
      assert.isAtMost(many.queries, 112)
      assert.include(many.plan, "chunks_object")
      assert.isBelow(many.micros, few.micros, "µs for an object")
    })
  )
})
