/** The directory of this node, there and writable before anything opens a file in it. */
import { Effect, FileSystem, Layer, Path, Schema } from "effect"
import { NodeConfig } from "./NodeConfig.ts"

/** Nothing can be kept in the data directory. */
export class DataDirectoryUnusable extends Schema.TaggedError<DataDirectoryUnusable>()("DataDirectoryUnusable", {
  path: Schema.String,
  problem: Schema.String
}) {
  override get message() {
    return `Can't write to the data directory ${this.path} (${this.problem}). Give this user the right to, or set SPILLWAY_DATA_DIR to another directory.`
  }
}

export const layer = Layer.effectDiscard(
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const dataDir = path.resolve((yield* NodeConfig).dataDir)
    const probe = path.join(dataDir, `.probe-${process.pid}`)
    yield* fs.makeDirectory(dataDir, { recursive: true }).pipe(
      Effect.andThen(fs.writeFileString(probe, "")),
      Effect.andThen(fs.remove(probe)),
      Effect.mapError(({ reason }) => new DataDirectoryUnusable({ path: dataDir, problem: reason._tag }))
    )
  })
)
