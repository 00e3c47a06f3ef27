/** Segments of the journal with damage are set aside for whoever wants to look at them, up to a bound. */
import { Effect, FileSystem, Metric, Path } from "effect"
import { JournalError } from "./Segment.ts"

const damagedBytes = Metric.gauge("spillway_journal_damaged_bytes", {
  description: "Bytes of damaged segments that are kept aside"
})

/** Deletes the oldest until the others have at most `limit` bytes; answers how many files and bytes are left. */
export const trim = Effect.fnUntraced(
  function* (directory: string, limit: number) {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const names = (yield* fs.readDirectory(directory)).filter((name) => name.endsWith(".damaged")).sort()
    const files = yield* Effect.forEach(names, (name) =>
      Effect.map(fs.stat(path.join(directory, name)), ({ size }) => ({ name, bytes: Number(size) }))
    )
    let bytes = files.reduce((sum, file) => sum + file.bytes, 0)
    while (bytes > limit) {
      const oldest = files.shift()
      if (oldest === undefined) break
      bytes -= oldest.bytes
      yield* fs.remove(path.join(directory, oldest.name), { force: true })
      yield* Effect.logWarning(
        `deleted the damaged journal segment ${oldest.name}: no more than ${limit} bytes of them are kept`
      )
    }
    yield* Metric.update(damagedBytes, bytes)
    return { files: files.length, bytes }
  },
  (effect, directory) =>
    Effect.mapError(effect, (cause) => new JournalError({ operation: "clean up", path: directory, cause }))
)
