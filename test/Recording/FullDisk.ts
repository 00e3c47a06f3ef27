/** A process that records until the disk is full and afterwards, and prints the results as JSON: `node FullDisk.ts <dir>`. */
import { Effect, References } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { Journal } from "../../src/Recording/Journal/Journal.ts"
import { journalIn, ramp, TestNode } from "./support/TestNode.ts"

const [dataDir = ""] = process.argv.slice(2)
const epoch = 1_700_000_000
const captures = 20

const program = Effect.gen(function* () {
  const journal = yield* Journal
  const node = new TestNode(journal)
  const open = Array.from({ length: captures }, (_, index) => {
    const opened = node.capture()
    opened.capture.switchTo(`c${index}`)
    return opened
  })
  const record = ({ capture, heard }: ReturnType<TestNode["capture"]>, second: number) =>
    Effect.gen(function* () {
      capture.append(epoch + second, ramp(8000))
      yield* journal.commit
      return heard.failures.length === 0
    })
  const before = yield* Effect.forEach(open, (capture) => record(capture, 0))
  const filler = Path.join(dataDir, "filler")
  const fill = Effect.sync(() => {
    const fd = Fs.openSync(filler, "w")
    try {
      for (;;) Fs.writeSync(fd, Buffer.alloc(4096))
    } catch {
      Fs.closeSync(fd)
    }
  })
  yield* fill
  const meanwhile = yield* Effect.forEach(open, (capture) => record(capture, 1))
  yield* journal.commit
  const { failing } = journal.stats()
  const files = Fs.readdirSync(Path.join(dataDir, "journal")).length
  Fs.rmSync(filler)
  yield* journal.commit
  const { failing: failingAfter } = journal.stats()
  const last = node.capture()
  last.capture.switchTo("last")
  const after = yield* record(last, 0)
  console.log(
    JSON.stringify({
      before: before.every((isWritten) => isWritten),
      meanwhile: meanwhile.some((isWritten) => isWritten),
      failing,
      files,
      failingAfter,
      after
    })
  )
})

await Effect.runPromise(
  program.pipe(
    Effect.provide(journalIn(dataDir)),
    Effect.provideService(References.MinimumLogLevel, "None"),
    Effect.scoped
  )
)
