/** A migrated database in a temporary directory, for scripts and benches. Both end with the scope. */
import { NodeServices } from "@effect/platform-node"
import { Effect, FileSystem, Layer, References } from "effect"
import * as Database from "../../src/Db/Database.ts"
import { DbConfig } from "../../src/Db/DbConfig.ts"
import * as EmbeddedPostgres from "../../src/Db/Postgres/EmbeddedPostgres.ts"
import { NodeConfig } from "../../src/NodeConfig.ts"

const node = Layer.effect(
  NodeConfig,
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const dataDir = yield* fs.makeTempDirectoryScoped({ prefix: "spillway-scratch-" })
    // The embedded database runs as a user of its own.
    yield* fs.chmod(dataDir, 0o755)
    return { dataDir }
  })
)

/** Logs only warnings and errors. */
export const layerOn = (postgres: typeof EmbeddedPostgres.layer) =>
  Database.layerNoDeps.pipe(
    Layer.provideMerge(postgres),
    Layer.provide([DbConfig.layer, node]),
    Layer.provideMerge(Layer.merge(NodeServices.layer, Layer.succeed(References.MinimumLogLevel, "Warn")))
  )

/** Without syncs. */
export const layer = layerOn(EmbeddedPostgres.layerNotDurable)
