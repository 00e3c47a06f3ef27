/** `spillway gc` on made-up findings: its report, and when it deletes. */
import { assert, it } from "@effect/vitest"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { DateTime, Duration, Effect, FileSystem, Layer } from "effect"
import { TestClock } from "effect/testing"
import { CliConfig } from "../../../src/Cli/CliConfig.ts"
import * as GcRun from "../../../src/Cli/Store/GcRun.ts"
import { Screen } from "../../../src/Cli/Screen.ts"
import { DbUnavailable } from "../../../src/Db.ts"
import { Orphans, type OrphansPage } from "../../../src/Recording.ts"
import { StorageUnavailable } from "../../../src/Storage.ts"
import { environment } from "../../support/Settings.ts"
import { temporaryDirectory } from "../../support/TemporaryDirectory.ts"

const { dryRun, removeAll } = GcRun

const none = { missing: [], damaged: [], objects: 0, rows: 0, young: 0, other: 0, foreign: 0 }

const orphan = (at: number) => ({
  key: `chunks/ada/c/${1_000 + at}.000.bin`,
  generation: String(at),
  size: 1_000_000,
  createdAt: new Date(0)
})

/** Two pages with 250 orphans. */
const pages: ReadonlyArray<OrphansPage> = [
  {
    ...none,
    objects: 1_000,
    rows: 900,
    orphans: Array.from({ length: 100 }, (_, at) => orphan(at)),
    missing: [{ key: "chunks/ada/c/1.000.bin", uid: "ada", conversation: "c" }],
    next: "chunks/ada/c/1999.000.bin"
  },
  {
    ...none,
    objects: 160,
    rows: 0,
    orphans: Array.from({ length: 150 }, (_, at) => orphan(100 + at)),
    damaged: [{ key: "chunks/ada/c/2.000.bin", reason: "no metadata" }],
    young: 3,
    other: 2,
    foreign: 4,
    next: undefined
  }
]

const place = { store: "the bucket b", database: "the database d (1/2)" }

interface World {
  readonly place?: typeof place
  readonly pages?: ReadonlyArray<OrphansPage>
  /** Failures of the first removals. */
  readonly failures?: Array<DbUnavailable | StorageUnavailable>
}

const run = (work: typeof dryRun | typeof removeAll, path: string, world: World = {}) =>
  Effect.gen(function* () {
    const said: Array<string> = []
    const fractions: Array<number | undefined> = []
    const removed: Array<string> = []
    const found = world.pages ?? pages
    const failures = world.failures ?? []
    const orphans = Layer.mock(Orphans, {
      age: Duration.days(7),
      place: Effect.succeed(world.place ?? place),
      estimate: Effect.succeed(1_000),
      page: (after) => Effect.succeed(found[after === "" ? 0 : 1] ?? { ...none, orphans: [], next: undefined }),
      remove: (objects) =>
        Effect.suspend(() => {
          const failure = failures.shift()
          if (failure !== undefined) return Effect.fail(failure)
          removed.push(...objects.map(({ generation, key }) => `${key} ${generation}`))
          return Effect.succeed(objects.length)
        })
    })
    const screen = Layer.succeed(Screen, {
      progress: (fraction) => Effect.sync(() => void fractions.push(fraction)),
      print: (text) => Effect.sync(() => void said.push(text)),
      result: (text) => Effect.sync(() => void said.push(text))
    })
    const exit = yield* work(path).pipe(
      Effect.provide([orphans, screen, CliConfig.layer.pipe(Layer.provide(environment({ CLI_BACKOFF: "1 millis" })))]),
      Effect.map(() => "done"),
      Effect.catch(({ message }) => Effect.succeed(message))
    )
    return { exit, said, fractions, removed }
  })

const onReport = <A, E>(
  test: (path: string, fs: FileSystem.FileSystem) => Effect.Effect<A, E, FileSystem.FileSystem>
) =>
  Effect.gen(function* () {
    const path = `${yield* temporaryDirectory}/report.jsonl`
    return yield* test(path, yield* FileSystem.FileSystem)
  }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))

it.effect("writes what it found to the report, shows its progress, and deletes nothing", () =>
  onReport((path, fs) =>
    Effect.gen(function* () {
      const { exit, fractions, removed, said } = yield* run(dryRun, path)
      assert.deepStrictEqual([exit, removed, fractions], ["done", [], [0.9, 0.9]])
      assert.deepStrictEqual(said, [
        "1,160 objects, 900 rows of chunks",
        "250 orphans, 250.0 MB: chunks without a row, older than 7d",
        "1 row without an object: this audio can't be read",
        "1 object damaged, left alone",
        "3 younger chunks without a row, which may still be committed",
        "2 objects other than chunks, left alone",
        "4 objects with foreign names, left alone",
        `The report is ${path}. Nothing was deleted.`,
        "Recordings that were never imported are orphans, too: import those that you want to keep.",
        `To delete the orphans, within an hour: npm run spillway -- gc --delete ${path}`
      ])
      const lines = (yield* fs.readFileString(path))
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line))
      assert.strictEqual(lines.length, 254)
      assert.deepStrictEqual(lines[0], { _tag: "begin", format: "spillway-gc-1", ...place })
      const { createdAt, size, ...first } = orphan(0)
      const time = DateTime.formatIso(DateTime.fromDateUnsafe(createdAt))
      assert.deepStrictEqual(lines[1], { _tag: "orphan", ...first, bytes: size, created_at: time })
      assert.strictEqual(lines.at(-1)._tag, "end")
    })
  )
)

it.live("deletes exactly what the report lists, and repeats a batch after an outage", () =>
  onReport((path) =>
    Effect.gen(function* () {
      yield* run(dryRun, path)
      const failures = [
        new DbUnavailable({ operation: "ObjectRows.known", attempts: 6, cause: new Error("down") }),
        new StorageUnavailable({ operation: "remove", bucket: "b", key: "k", cause: new Error("down") })
      ]
      const { exit, fractions, removed, said } = yield* run(removeAll, path, { failures })
      assert.strictEqual(exit, "done")
      const listed = Array.from({ length: 250 }, (_, at) => orphan(at)).map(
        ({ generation, key }) => `${key} ${generation}`
      )
      assert.deepStrictEqual(removed, listed)
      assert.deepStrictEqual(fractions, [0.4, 0.8, 1])
      assert.strictEqual(said.at(-1), "250 orphans deleted.")
    })
  )
)

it.effect("deletes by a report for an hour, and by none of another store or database", () =>
  onReport((path) =>
    Effect.gen(function* () {
      yield* TestClock.setTime(Date.parse("2026-11-29T10:00:00Z"))
      yield* run(dryRun, path)
      const rejected = Effect.fnUntraced(function* (reason: RegExp, world: World = {}) {
        const { exit, removed } = yield* run(removeAll, path, world)
        assert.match(exit, reason)
        assert.match(exit, /^Nothing was deleted: /)
        assert.deepStrictEqual(removed, [])
      })
      yield* rejected(/is of the bucket b, and the server's store is the bucket c/, {
        place: { ...place, store: "the bucket c" }
      })
      yield* rejected(/is of the database d \(1\/2\), and the server's database is the database d \(3\/2\)/, {
        place: { ...place, database: "the database d (3/2)" }
      })
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* run(removeAll, path)).removed.length, 250)
      yield* TestClock.adjust("1 second")
      yield* rejected(/is older than an hour/)
      yield* TestClock.setTime(Date.parse("2026-11-29T09:59:59Z"))
      yield* rejected(/is from the future/)
    })
  )
)

it.effect("deletes by no report that is incomplete, changed, foreign, or of a database without recordings", () =>
  onReport((path, fs) =>
    Effect.gen(function* () {
      const rejected = Effect.fnUntraced(function* (text: string, reason: RegExp) {
        yield* fs.writeFileString(path, text)
        const { exit, removed } = yield* run(removeAll, path)
        assert.match(exit, reason)
        assert.deepStrictEqual(removed, [])
      })
      yield* run(dryRun, path)
      const lines = (yield* fs.readFileString(path)).trim().split("\n")
      yield* rejected(lines.slice(0, -1).join("\n"), /is incomplete: its dry run was stopped/)
      yield* rejected(lines.slice(0, 100).join("\n").slice(0, -9), /is not a report of `spillway gc`/)
      yield* rejected([...lines.slice(0, 5), ...lines.slice(6)].join("\n"), /was changed/)
      for (const [from, to] of [
        [/"generation":"\d+"/, '"generation":"77"'],
        [/"database":"the database d /, '"database":"the database e '],
        [/"finished_at":"\d+/, '"finished_at":"2027']
      ] as const)
        yield* rejected(lines.join("\n").replace(from, to), /was changed/)
      yield* rejected(lines.slice(1).join("\n"), /is not a report/)
      yield* rejected("", /is not a report/)
      yield* rejected("{}\n", /is not a report/)
      yield* fs.remove(path)
      assert.match((yield* run(removeAll, path)).exit, /^Can't read the report .* \(no such file or directory\)\.$/)
      assert.match(
        (yield* run(dryRun, `${path}/x`)).exit,
        /^Can't write the report .* \(no such file or directory\)\.$/
      )
      yield* run(dryRun, path, { pages: pages.map((page) => ({ ...page, rows: 0 })) })
      assert.match((yield* run(removeAll, path)).exit, /found no row of a chunk/)
    })
  )
)
