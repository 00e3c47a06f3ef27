/** The object store on disk keeps the contract, and its promises about files. */
import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as fs from "node:fs"
import { join } from "node:path"
import { NodeConfig } from "../../../src/NodeConfig.ts"
import { Storage } from "../../../src/Storage.ts"
import { suite } from "../StorageTest.ts"
import { diskStorage, layer } from "../support/TestDisk.ts"
import { temporaryDirectory } from "../../support/TemporaryDirectory.ts"

suite("DiskStorage", layer)

const key = "chunks/User/1700000000.000.batch.bin"
const file = "objects/chunks/user+g/1700000000.000.batch.bin="
const bytes = Uint8Array.from({ length: 300_000 }, (_, i) => i % 251)
const object = { key, body: bytes, contentType: "application/octet-stream", metadata: { codec: "pcm16" } }

/** Runs with a store in `dataDir`, which is closed at the end. */
const using = <A, E>(dataDir: string, use: (storage: Storage["Service"]) => Effect.Effect<A, E>) =>
  Storage.use(use).pipe(Effect.provide(diskStorage(dataDir), { local: true }))

const unfinished = (dataDir: string) => fs.readdirSync(join(dataDir, "objects/~tmp"))

const openFiles = Effect.sync(() => fs.readdirSync("/dev/fd").length)

it.effect("finds objects again after a restart", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const head = yield* using(dataDir, (storage) => storage.put(object))
    assert.isTrue(fs.existsSync(join(dataDir, file)))
    assert.deepStrictEqual(yield* using(dataDir, (storage) => storage.head(key)), head)
    assert.deepStrictEqual(yield* using(dataDir, (storage) => Stream.mkUint8Array(storage.get(key))), bytes)
  })
)

it.effect("has the free space of its file system", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const { bavail, bsize, blocks } = fs.statfsSync(dataDir)
    const free = yield* using(dataDir, (storage) => storage.freeBytes)
    // Other programs write meanwhile.
    assert.closeTo(free, bavail * bsize, (blocks * bsize) / 50)
  })
)

it.effect("leaves no unfinished file, whether a put succeeds, fails or conflicts", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    yield* using(dataDir, (storage) =>
      Effect.gen(function* () {
        yield* storage.put(object)
        yield* storage.put(object)
        yield* Effect.flip(storage.put({ ...object, body: new Uint8Array(1) }))
        yield* Effect.flip(storage.put({ ...object, body: { size: 2, stream: Stream.make(new Uint8Array(1)) } }))
        yield* Effect.flip(
          storage.put({ ...object, body: { size: 2, stream: Stream.die("bug") } }).pipe(Effect.sandbox)
        )
      })
    )
    assert.deepStrictEqual(unfinished(dataDir), [])
  })
)

it.effect("removes the directories of a removed object when nothing else is in them", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    yield* using(dataDir, (storage) =>
      Effect.gen(function* () {
        yield* storage.put(object)
        yield* storage.put({ ...object, key: "chunks/other" })
        yield* storage.remove(key)
        assert.deepStrictEqual(fs.readdirSync(join(dataDir, "objects/chunks")), ["other="])
        yield* storage.remove("chunks/other")
        assert.deepStrictEqual(fs.readdirSync(join(dataDir, "objects")), ["~tmp"])
      })
    )
  })
)

it.effect("recreates a cached directory that was removed", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    yield* using(dataDir, (storage) =>
      Effect.gen(function* () {
        yield* storage.put({ ...object, key: "a/b/1" })
        fs.rmSync(join(dataDir, "objects/a"), { recursive: true })
        yield* storage.put({ ...object, key: "a/b/2" })
        assert.deepStrictEqual(
          (yield* storage.list("")).objects.map((head) => head.key),
          ["a/b/2"]
        )
      })
    )
  })
)

it.effect("creates files that only its own user can read", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    yield* using(dataDir, (storage) => storage.put(object))
    assert.strictEqual(fs.statSync(join(dataDir, file)).mode & 0o777, 0o600)
    assert.strictEqual(fs.statSync(join(dataDir, "objects/chunks")).mode & 0o077, 0)
  })
)

it.effect("fails a whole read of damaged bytes before the last piece", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    yield* using(dataDir, (storage) =>
      Effect.gen(function* () {
        yield* storage.put(object)
        const damaged = fs.readFileSync(join(dataDir, file))
        damaged[100_000] = (damaged[100_000] ?? 0) ^ 1
        fs.writeFileSync(join(dataDir, file), damaged)
        let seen = 0
        const counted = Stream.tap(storage.get(key), (piece) => Effect.sync(() => (seen += piece.length)))
        const refusal = yield* Effect.flip(Stream.runDrain(counted))
        assert.deepStrictEqual([refusal._tag, refusal.key], ["ObjectDamaged", key])
        assert.isBelow(seen, bytes.length)
        const sound = yield* Stream.mkUint8Array(storage.get(key, { start: 100_001, end: 200_000 }))
        assert.deepStrictEqual(sound, bytes.subarray(100_001, 200_000))
      })
    )
  })
)

it.effect("rejects a file that is truncated, empty, overwritten, or of another key", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    yield* using(dataDir, (storage) =>
      Effect.gen(function* () {
        yield* storage.put(object)
        const whole = fs.readFileSync(join(dataDir, file))
        const scrawled = Buffer.from(whole)
        scrawled[whole.length - 30] = 0
        const shifted = Buffer.concat([Buffer.alloc(1), whole])
        const longTail = Buffer.from(whole)
        longTail.writeUInt32LE(0xffff_ffff, whole.length - 16)
        for (const content of [
          whole.subarray(0, -1),
          Buffer.alloc(0),
          whole.subarray(-10),
          scrawled,
          shifted,
          longTail
        ]) {
          fs.writeFileSync(join(dataDir, file), content)
          assert.strictEqual((yield* Effect.flip(storage.head(key)))._tag, "StorageRefused")
          assert.strictEqual((yield* Effect.flip(Stream.runDrain(storage.get(key))))._tag, "ObjectDamaged")
        }
        const listing = yield* Effect.flip(storage.list("chunks/"))
        assert.deepStrictEqual([listing._tag, listing.key], ["StorageRefused", key])
        yield* storage.remove(key)
        yield* storage.put(object)
        fs.renameSync(join(dataDir, file), join(dataDir, "objects/chunks/user+g/other="))
        assert.strictEqual((yield* Effect.flip(storage.head("chunks/User/other")))._tag, "StorageRefused")
        yield* storage.remove("chunks/User/other")
        assert.deepStrictEqual((yield* storage.list("chunks/")).objects, [])
      })
    )
  })
)

it.effect("lists only its own files", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    yield* using(dataDir, (storage) =>
      Effect.gen(function* () {
        yield* storage.put(object)
        for (const name of [".DS_Store", "Thumbs.db", "a+", "A=", "x+zz=", "lost+found"]) {
          fs.writeFileSync(join(dataDir, "objects/chunks/user+g", `~${name}`), "")
          fs.writeFileSync(join(dataDir, "objects/~tmp", name), "")
        }
        for (const name of ["a+=", "A=", "x+zz=", "é=", "="]) {
          fs.writeFileSync(join(dataDir, "objects/chunks/user+g", name), "")
        }
        assert.deepStrictEqual(
          (yield* storage.list("")).objects.map((head) => head.key),
          [key]
        )
      })
    )
  })
)

it.effect("closes its files when a reader stops early or is interrupted", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    yield* using(dataDir, (storage) =>
      Effect.gen(function* () {
        yield* storage.put(object)
        const before = yield* openFiles
        for (let i = 0; i < 20; i++) {
          assert.strictEqual((yield* Stream.runCollect(Stream.take(storage.get(key), 1))).length, 1)
          const reader = yield* Effect.forkChild(Stream.runDrain(storage.get(key)), { startImmediately: true })
          yield* Fiber.interrupt(reader)
          const writer = yield* Effect.forkChild(storage.put({ ...object, key: `w/${i}` }), { startImmediately: true })
          yield* Fiber.interrupt(writer)
        }
        assert.strictEqual(yield* openFiles, before)
        assert.deepStrictEqual(unfinished(dataDir), [])
      })
    )
  })
)

it.effect("sweeps unfinished files of killed processes at the start and every hour, but no fresh ones", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const leave = (name: string, hour: number) => {
      fs.writeFileSync(join(dataDir, "objects/~tmp", name), "x")
      fs.utimesSync(join(dataDir, "objects/~tmp", name), hour * 3_600, hour * 3_600)
    }
    yield* TestClock.setTime(100 * 3_600_000)
    fs.mkdirSync(join(dataDir, "objects/~tmp"), { recursive: true })
    leave("old", 98)
    leave("middle", 99.5)
    leave("fresh", 100)
    yield* using(dataDir, () =>
      Effect.gen(function* () {
        const gone = (name: string) =>
          Effect.whileLoop({
            while: () => unfinished(dataDir).includes(name),
            body: () => Effect.yieldNow,
            step: () => {}
          })
        yield* gone("old")
        assert.deepStrictEqual(unfinished(dataDir).sort(), ["fresh", "middle"])
        yield* TestClock.adjust("59 minutes")
        assert.deepStrictEqual(unfinished(dataDir).sort(), ["fresh", "middle"])
        yield* TestClock.adjust("1 minute")
        yield* gone("middle")
        yield* TestClock.adjust("1 hour")
        yield* gone("fresh")
      })
    )
  })
)

it.effect("distinguishes disk failures from rejections", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    yield* using(dataDir, (storage) =>
      Effect.gen(function* () {
        fs.writeFileSync(join(dataDir, "objects/blocked"), "not a directory")
        const refused = yield* Effect.flip(storage.put({ ...object, key: "blocked/a" }))
        assert.strictEqual(refused._tag, "StorageRefused")
        fs.rmSync(join(dataDir, "objects/~tmp"), { recursive: true })
        const unavailable = yield* Effect.flip(storage.put(object))
        assert.strictEqual(unavailable._tag, "StorageUnavailable")
      })
    )
  })
)

it.effect("stores objects under the node's data directory", () =>
  Effect.gen(function* () {
    const { dataDir } = yield* NodeConfig
    assert.strictEqual(dataDir, "./data")
  }).pipe(Effect.provide(NodeConfig.layer.pipe(Layer.orDie)))
)

it.effect("fails to open where it can't write, and says where and what to do", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    fs.writeFileSync(join(dataDir, "objects"), "")
    const { message } = yield* Effect.flip(using(dataDir, () => Effect.void))
    assert.include(message, `Can't write to ${join(dataDir, "objects")}`)
    assert.match(message, /\((ENOTDIR|EEXIST)\)\. Give this user write permission, or set SPILLWAY_DATA_DIR/)
  })
)

it.effect.skipIf(process.getuid?.() === 0)("fails to open where it lacks the permission to write", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    yield* using(dataDir, () => Effect.void)
    fs.chmodSync(join(dataDir, "objects"), 0o500)
    const { message } = yield* Effect.flip(using(dataDir, () => Effect.void))
    assert.include(message, `Can't write to ${join(dataDir, "objects")} (EACCES)`)
  })
)

it.effect("names a foreign file among its objects", () =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const path = join(dataDir, "objects/chunks/bob/1.000.bin")
    yield* using(dataDir, (storage) =>
      Effect.gen(function* () {
        fs.mkdirSync(join(path, ".."), { recursive: true })
        fs.writeFileSync(path, "audio")
        const refusal = yield* Effect.flip(storage.list("chunks/"))
        assert.strictEqual(refusal._tag, "StorageRefused")
        assert.include(refusal.message, `can't list disk/chunks/: ${path} is not an object of this store`)
        assert.include(refusal.message, "spillway import --from DIR")
      })
    )
  })
)
