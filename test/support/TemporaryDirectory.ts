/** A temporary directory that is deleted with its scope. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Effect, FileSystem } from "effect"

export const temporaryDirectory = FileSystem.FileSystem.use((fs) =>
  fs.makeTempDirectoryScoped({ prefix: "spillway-test-" })
).pipe(Effect.orDie, Effect.provide(NodeFileSystem.layer))
