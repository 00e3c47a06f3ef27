/** Commits: every source is settled on every exit, and nothing is written to a failed segment. */
import { assert, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, Layer } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import type { Batch } from "../../../src/Recording/Journal/Batch.ts"
import { Journal, type CommitSource } from "../../../src/Recording/Journal/Journal.ts"
import { epoch } from "../support/StoringNode.ts"
import { journalIn, onJournal, ramp, TestNode } from "../support/TestNode.ts"

/** A source that collects the outcomes of its commits. */
const source = (drainInto: (batch: Batch) => boolean = () => true) => {
  const outcomes: Array<string> = []
  const self: CommitSource = {
    drainInto,
    settled: (error) => {
      outcomes.push(error === undefined ? "durable" : "failed")
    }
  }
  return { self, outcomes }
}

const throwing = () => {
  throw new Error("a bug")
}

/** Two segments of sealed audio, and a budget that the next rotation exceeds. */
const full = { segmentBytes: 10_000, journalBytes: 30_000 }
const fill = Effect.fnUntraced(function* (journal: Journal["Service"]) {
  const node = new TestNode(journal)
  for (const second of [0, 1]) {
    const { capture } = node.capture()
    capture.switchTo("c")
    capture.append(epoch + second, ramp(8000, second * 8000))
    yield* journal.commit
    yield* Effect.callback<void>((resume) => capture.close(() => resume(Effect.void)))
  }
  return node
})

it.effect("fails every capture of a commit that dies, and loses no audio acknowledged afterwards", () =>
  onJournal(
    ({ journal, dataDir }) =>
      Effect.gen(function* () {
        const node = yield* fill(journal)
        node.now = 10_000
        const broken = { isBroken: true }
        journal.whenFull((chunks) =>
          broken.isBroken
            ? Effect.die(new Error("index corrupted"))
            : Effect.as(Effect.forEach(chunks, journal.release, { discard: true }), true)
        )
        const first = node.capture()
        first.capture.switchTo("acked")
        first.capture.append(epoch, ramp(8000))
        yield* journal.commit
        assert.deepStrictEqual([first.heard.failures, first.heard.acks], [["NotWritten"], []])
        assert.isTrue(journal.stats().failing)
        broken.isBroken = false
        const second = node.capture()
        second.capture.switchTo("acked")
        second.capture.append(epoch, ramp(8000))
        yield* journal.commit
        assert.deepStrictEqual(second.heard.acks, [
          { conversation: "acked", through: epoch + 1, bytes: 16_000, stored: undefined }
        ])
        const copy = Path.join(dataDir, "copy")
        Fs.cpSync(Path.join(dataDir, "journal"), Path.join(copy, "journal"), { recursive: true })
        const recovered = yield* Effect.flatMap(Journal, (found) =>
          Effect.forEach(
            found.recovered.filter(({ conversation }) => conversation === "acked"),
            (chunk) => found.read(chunk, 0, chunk.durable)
          )
        ).pipe(Effect.provide(Layer.fresh(journalIn(copy))))
        assert.isTrue(Buffer.concat(recovered).equals(Buffer.from(ramp(8000))))
      }),
    { bounds: full }
  )
)

it.effect("fails every capture of a commit that is interrupted", () =>
  onJournal(
    ({ journal }) =>
      Effect.gen(function* () {
        const node = yield* fill(journal)
        const waits = yield* Deferred.make<void>()
        journal.whenFull(() => Effect.andThen(Deferred.succeed(waits, undefined), Effect.never))
        const { capture, heard } = node.capture()
        capture.switchTo("c")
        capture.append(epoch + 10, ramp(8000))
        const commit = yield* Effect.forkChild(journal.commit)
        yield* Deferred.await(waits)
        yield* Fiber.interrupt(commit)
        assert.deepStrictEqual([heard.failures, heard.acks], [["NotWritten"], []])
      }),
    { bounds: full }
  )
)

it.effect.each(["markDirty", "markUrgent"] as const)("fails every source of a commit that throws: %s", (mark) =>
  onJournal(({ journal }) =>
    Effect.gen(function* () {
      const isSettled = yield* Deferred.make<void>()
      const broken = source(throwing)
      journal[mark]({
        ...broken.self,
        settled: (error) => {
          broken.self.settled(error)
          Deferred.doneUnsafe(isSettled, Effect.void)
        }
      })
      if (mark === "markDirty") yield* journal.commit
      yield* Deferred.await(isSettled)
      assert.deepStrictEqual(broken.outcomes, ["failed"])
      // Both kinds of commit still work.
      const later = source()
      const done = yield* Deferred.make<void>()
      journal.markUrgent({
        ...later.self,
        settled: (error) => {
          later.self.settled(error)
          Deferred.doneUnsafe(done, Effect.void)
        }
      })
      yield* Deferred.await(done)
      journal.markDirty(later.self)
      yield* journal.commit
      assert.deepStrictEqual(later.outcomes, ["durable", "durable"])
    })
  )
)

it.effect("settles every source when one of them throws while it is settled", () =>
  onJournal(({ journal }) =>
    Effect.gen(function* () {
      const [before, after] = [source(), source()]
      const broken = source()
      journal.markDirty(before.self)
      journal.markDirty({
        ...broken.self,
        settled: (error) => {
          broken.self.settled(error)
          if (error === undefined) throwing()
        }
      })
      journal.markDirty(after.self)
      yield* journal.commit
      assert.deepStrictEqual([before.outcomes, after.outcomes], [["durable"], ["durable"]])
      assert.deepStrictEqual(broken.outcomes, ["durable", "failed"])
    })
  )
)

it.effect("fails sources that wait for a commit when the journal closes", () =>
  Effect.gen(function* () {
    const waiting = source()
    yield* onJournal(({ journal }) => Effect.sync(() => journal.markDirty(waiting.self)))
    assert.deepStrictEqual(waiting.outcomes, ["failed"])
  })
)

it.effect("detects that the disk is writable again, and leaves nothing to recover", () =>
  onJournal(
    ({ node, journal, dataDir }) =>
      Effect.gen(function* () {
        const { capture, heard } = node.capture()
        capture.switchTo("c")
        capture.append(epoch, ramp(8000))
        yield* journal.commit
        const directory = Path.join(dataDir, "journal")
        Fs.renameSync(directory, `${directory}.away`)
        capture.append(epoch + 1, ramp(8000, 8000))
        yield* journal.commit
        assert.deepStrictEqual(heard.failures, ["NotWritten"])
        yield* journal.commit
        assert.isTrue(journal.stats().failing)
        Fs.renameSync(`${directory}.away`, directory)
        yield* journal.commit
        assert.isFalse(journal.stats().failing)
        const copy = Path.join(dataDir, "copy")
        Fs.cpSync(directory, Path.join(copy, "journal"), { recursive: true })
        const found = yield* Effect.map(Journal, ({ recovered }) => recovered.map(({ durable }) => durable)).pipe(
          Effect.provide(Layer.fresh(journalIn(copy)))
        )
        assert.deepStrictEqual(found, [16_000])
        assert.deepStrictEqual(
          Fs.readdirSync(Path.join(copy, "journal")).filter((name) => name.endsWith(".damaged")),
          []
        )
      }),
    { bounds: { segmentBytes: 10_000, commitInterval: Duration.millis(50) } }
  )
)
