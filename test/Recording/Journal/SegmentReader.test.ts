/** Reads run in threads, and every request is settled. */
import { assert, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import type { Extent } from "../../../src/Recording/Journal/Extents.ts"
import { create } from "../../../src/Recording/Journal/Segment.ts"
import * as SegmentReader from "../../../src/Recording/Journal/SegmentReader.ts"
import { ramp } from "../support/TestNode.ts"
import { temporaryDirectory } from "../../support/TemporaryDirectory.ts"

const bytes = Buffer.from(ramp(1_000_000))

/** A segment that holds `bytes`. */
const segment = Effect.gen(function* () {
  const made = yield* create(yield* temporaryDirectory, 1)
  yield* Effect.addFinalizer(() => made.close)
  yield* made.append(bytes)
  return made
})

/** The same bytes in many extents, which a thread reads. */
const inPieces = ({ length, position, segment }: Extent, pieces = 50): ReadonlyArray<Extent> =>
  Array.from({ length: pieces }, (_, index) => {
    const [from, to] = [index, index + 1].map((edge) => Math.floor((length * edge) / pieces))
    return { segment, position: position + (from ?? 0), length: (to ?? 0) - (from ?? 0) }
  })

for (const pieces of [1, 50]) {
  it.live(`returns the extents in order: ${pieces * 3} extents`, () =>
    Effect.gen(function* () {
      const made = yield* segment
      const reader = yield* SegmentReader.make()
      const extents = [
        { segment: made, position: 5, length: 100 },
        { segment: made, position: 1_000_000, length: 300 },
        { segment: made, position: 0, length: 200 }
      ]
      const read = yield* reader.read(
        extents.flatMap((extent) => inPieces(extent, pieces)),
        new ArrayBuffer(600)
      )
      const expected = extents.map(({ length, position }) => bytes.subarray(position, position + length))
      assert.isTrue(Buffer.from(read).equals(Buffer.concat(expected)))
    }).pipe(Effect.scoped)
  )

  it.live(`fails for bytes beyond the file, and for a deleted file: ${pieces} extents`, () =>
    Effect.gen(function* () {
      const made = yield* segment
      const reader = yield* SegmentReader.make()
      const read = (position: number) =>
        Effect.flip(reader.read(inPieces({ segment: made, position, length: 100 }, pieces), new ArrayBuffer(100)))
      assert.match((yield* read(1_999_950)).message, /can't read .*0001.wal: the file is shorter than its records/)
      yield* made.retire
      assert.match((yield* read(0)).message, /the segment was deleted/)
    }).pipe(Effect.scoped)
  )

  it.live(
    `keeps the file open until it is read, even when it is deleted and the reader is interrupted: ${pieces} extents`,
    () =>
      Effect.gen(function* () {
        const made = yield* segment
        const reader = yield* SegmentReader.make()
        const extents = inPieces({ segment: made, position: 0, length: 2_000_000 }, pieces)
        const start = () =>
          Effect.forkChild(reader.read(extents, new ArrayBuffer(2_000_000)), { startImmediately: true })
        const [abandoned, read] = [yield* start(), yield* start()]
        const interrupting = yield* Effect.forkChild(Fiber.interrupt(abandoned), { startImmediately: true })
        yield* made.retire
        assert.isTrue(Buffer.from(yield* Fiber.join(read)).equals(bytes))
        yield* Fiber.join(interrupting)
        while (made.closedError === undefined) yield* Effect.sleep("1 millis")
      }).pipe(Effect.scoped)
  )
}

it.live("does not block the event loop while it reads whole chunks", () =>
  Effect.gen(function* () {
    const made = yield* segment
    const reader = yield* SegmentReader.make()
    const extents = inPieces({ segment: made, position: 0, length: 2_000_000 }, 120)
    yield* reader.read(extents, new ArrayBuffer(2_000_000))
    const reads = yield* Effect.forEach(Array.from({ length: 32 }), () =>
      Effect.forkChild(reader.read(extents, new ArrayBuffer(2_000_000)), { startImmediately: true })
    )
    // A result arrives as an event, so only a read on this thread can have ended.
    assert.isTrue(reads.every((read) => read.pollUnsafe() === undefined))
    for (const read of reads) assert.isTrue(Buffer.from(yield* Fiber.join(read)).equals(bytes))
  }).pipe(Effect.scoped)
)

it.live("fails the requests of a thread that dies, and starts another one", () =>
  Effect.gen(function* () {
    const made = yield* segment
    const reader = yield* SegmentReader.make(new URL("../support/EndingThread.mjs", import.meta.url))
    const extents = inPieces({ segment: made, position: 0, length: 100 })
    for (let attempt = 0; attempt < 3; attempt++) {
      const exits = yield* Effect.forEach(
        Array.from({ length: 20 }),
        () => Effect.exit(reader.read(extents, new ArrayBuffer(100))),
        { concurrency: "unbounded" }
      )
      assert.isTrue(exits.every(Exit.isFailure))
    }
    yield* made.retire
    assert.isDefined(made.closedError)
  }).pipe(Effect.scoped)
)

const turn = Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void)))

it.effect("fails the requests of a silent thread, replaces it, and has at most four that hang", () =>
  Effect.gen(function* () {
    const made = yield* segment
    const directory = yield* temporaryDirectory
    execFileSync("mkfifo", [`${directory}/pipe`])
    Fs.writeFileSync(`${directory}/stuck`, "")
    process.env["STUCK_THREAD_DIRECTORY"] = directory
    const pipe = yield* Effect.acquireRelease(
      Effect.sync(() => Fs.openSync(`${directory}/pipe`, "r+")),
      (pipe) => Effect.sync(() => Fs.closeSync(pipe))
    )
    const reader = yield* SegmentReader.make(new URL("../support/StuckThread.mjs", import.meta.url))
    const read = (from: Extent["segment"], position: number) =>
      reader.read(inPieces({ segment: from, position, length: 100 }), new ArrayBuffer(100))
    const expected = bytes.subarray(7, 107)
    for (let stuck = 1; stuck <= 4; stuck++) {
      assert.isTrue(Buffer.from(yield* read(made, 7)).equals(expected))
      const asked = yield* Effect.forEach([0, 7], (position) =>
        Effect.forkChild(Effect.flip(read(made, position)), { startImmediately: true })
      )
      while (Fs.statSync(`${directory}/stuck`).size < stuck) yield* turn
      yield* TestClock.adjust("9 seconds")
      assert.isTrue(asked.every((fiber) => fiber.pollUnsafe() === undefined))
      yield* TestClock.adjust("1 second")
      for (const fiber of asked) {
        const error = yield* Fiber.join(fiber)
        assert.match(error.message, /can't read .*0001.wal: .* has not responded for 10 s/)
        assert.isTrue(error.isTransient)
      }
    }
    assert.match((yield* Effect.flip(read(made, 7))).message, /no reader thread responds/)
    // The threads may still read from the file.
    yield* made.retire
    assert.isUndefined(made.closedError)
    Fs.writeSync(pipe, "1234")
    while (made.closedError === undefined) yield* turn
    assert.isTrue(Buffer.from(yield* read(yield* segment, 7)).equals(expected))
  }).pipe(Effect.scoped)
)
