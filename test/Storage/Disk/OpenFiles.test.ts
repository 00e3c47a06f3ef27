/** Files that stay open for the next range, alone and in the store on disk. */
import * as fs from "node:fs"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"
import { Clock, Effect, Fiber } from "effect"
import { Storage, type ObjectHead } from "../../../src/Storage.ts"
import * as FileName from "../../../src/Storage/Disk/FileName.ts"
import * as OpenFiles from "../../../src/Storage/Disk/OpenFiles.ts"
import * as StillClock from "../../support/StillClock.ts"
import { temporaryDirectory } from "../../support/TemporaryDirectory.ts"
import { bytesOf, object } from "../support/Objects.ts"
import { diskStorage } from "../support/TestDisk.ts"

const headOf = (key: string): ObjectHead => ({
  key,
  size: 4,
  crc32c: 0,
  generation: "1",
  contentType: "audio/wav",
  metadata: {},
  createdAt: new Date(0)
})

const withFiles = (
  bound: number,
  test: (made: {
    readonly files: OpenFiles.OpenFiles
    readonly closed: Array<string>
    readonly clock: { now: number }
    readonly add: (key: string) => OpenFiles.OpenFile
    readonly path: (key: string) => string
  }) => void
) =>
  Effect.gen(function* () {
    const directory = yield* temporaryDirectory
    const clock = { now: 0 }
    const closed: Array<string> = []
    const names = new Map<number, string>()
    const close = (fd: number) => {
      closed.push(names.get(fd) ?? "")
      fs.closeSync(fd)
    }
    const files = OpenFiles.make(() => clock.now, close, bound)
    const path = (key: string) => join(directory, key)
    const add = (key: string) => {
      if (!fs.existsSync(path(key))) fs.writeFileSync(path(key), key)
      const fd = fs.openSync(path(key), "r")
      names.set(fd, key)
      return files.add(fd, headOf(key))
    }
    test({ files, closed, clock, add, path })
    files.closeAll()
  })

it.effect("keeps a file open for a minute, and closes it once when no reader has it", () =>
  withFiles(10, ({ add, clock, closed, files }) => {
    const first = add("a")
    clock.now = 60_000
    assert.strictEqual(files.take("a"), first)
    files.giveBack(first)
    clock.now = 60_001
    assert.isUndefined(files.take("a"))
    files.closeOld()
    assert.deepStrictEqual(closed, [])
    files.giveBack(first)
    assert.deepStrictEqual(closed, ["a"])
    files.giveBack(add("b"))
    files.closeOld()
    assert.deepStrictEqual(closed, ["a"])
    clock.now = 120_002
    files.closeOld()
    assert.deepStrictEqual(closed, ["a", "b"])
  })
)

it.effect("keeps a bounded number open, and one file of a key", () =>
  withFiles(2, ({ add, closed, files }) => {
    for (const key of ["a", "b", "c", "c"]) files.giveBack(add(key))
    assert.deepStrictEqual(closed, ["a", "c"])
    assert.isUndefined(files.take("a"))
    assert.isDefined(files.take("c"))
  })
)

it.effect("does not read from a file that was removed or replaced", () =>
  withFiles(10, ({ add, files, path }) => {
    for (const key of ["a", "b", "c"]) files.giveBack(add(key))
    fs.unlinkSync(path("a"))
    fs.writeFileSync(path("new"), "new")
    fs.renameSync(path("new"), path("b"))
    files.forget("c")
    for (const key of ["a", "b", "c"]) assert.isUndefined(files.take(key), key)
  })
)

const key = "chunks/ada/1"
const whole = { start: 0, end: 100 }

it.effect("reads an object that another process removed or replaced no more, also if it has a second name", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const { clock } = yield* StillClock.make
    yield* Effect.gen(function* () {
      const storage = yield* Storage
      const path = join(dataDir, "objects", FileName.fileOf(key))
      yield* storage.put(object(key, bytesOf("recorded")))
      assert.deepStrictEqual(yield* storage.read(key, whole), bytesOf("recorded"))
      fs.linkSync(path, join(dataDir, "backup"))
      fs.unlinkSync(path)
      assert.strictEqual((yield* Effect.flip(storage.read(key, whole)))._tag, "ObjectNotFound")
      fs.linkSync(join(dataDir, "backup"), path)
      assert.deepStrictEqual(yield* storage.read(key, { start: 2, end: 4 }), bytesOf("co"))
      fs.unlinkSync(path)
      assert.strictEqual((yield* Effect.flip(storage.read(key, whole)))._tag, "ObjectNotFound")
      fs.linkSync(join(dataDir, "backup"), path)
      assert.deepStrictEqual(yield* storage.read(key, { start: 2, end: 4 }), bytesOf("co"))
      fs.writeFileSync(join(dataDir, "other"), "")
      fs.renameSync(join(dataDir, "other"), path)
      assert.strictEqual((yield* Effect.flip(storage.read(key, { start: 2, end: 4 })))._tag, "ObjectDamaged")
    }).pipe(Effect.provide(diskStorage(dataDir)), Effect.provideService(Clock.Clock, clock))
  })
)

it.live("closes what it opened, while objects are read, removed and created again", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const open = () =>
      fs.readdirSync("/proc/self/fd").filter((fd) => {
        try {
          return fs.readlinkSync(`/proc/self/fd/${fd}`).startsWith(dataDir)
        } catch {
          return false
        }
      }).length
    yield* Effect.gen(function* () {
      const storage = yield* Storage
      const keys = Array.from({ length: 20 }, (_, i) => `chunks/ada/${i}`)
      yield* Effect.forEach(keys, (each) => storage.put(object(each, bytesOf(each))))
      const reader = Effect.forEach(
        Array.from({ length: 10 }, () => keys).flat(),
        (each) =>
          Effect.map(
            Effect.catchTag(storage.read(each, whole), "ObjectNotFound", () => Effect.succeed(undefined)),
            (bytes) => bytes === undefined || assert.deepStrictEqual(bytes, bytesOf(each))
          ),
        { concurrency: 8 }
      )
      const writer = Effect.forEach(keys, (each) =>
        Effect.andThen(storage.remove(each), storage.put(object(each, bytesOf(each))))
      )
      const readers = yield* Effect.forkChild(Effect.all([reader, reader], { concurrency: 2 }))
      const stopped = yield* Effect.forkChild(reader)
      yield* writer
      yield* Fiber.interrupt(stopped)
      yield* Fiber.join(readers)
      assert.isAtMost(open(), 20)
      yield* Effect.forEach(keys, (each) => storage.remove(each))
      assert.strictEqual(open(), 0)
      yield* Effect.forEach(keys, (each) => storage.put(object(each, bytesOf(each))))
      yield* reader
    }).pipe(Effect.provide(diskStorage(dataDir)))
    assert.strictEqual(open(), 0)
  })
)
