/** The embedded database alone, as a process that a test can kill: prints when it is ready, then waits. */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Console, Effect, Layer } from "effect"
import * as Database from "../../../src/Db/Database.ts"
import { DbConfig } from "../../../src/Db/DbConfig.ts"
import * as EmbeddedPostgres from "../../../src/Db/Postgres/EmbeddedPostgres.ts"
import { NodeConfig } from "../../../src/NodeConfig.ts"

Layer.effectDiscard(Console.log("ready")).pipe(
  Layer.provide(Database.layerNoDeps),
  Layer.provide(EmbeddedPostgres.layer),
  Layer.provide([DbConfig.layer, NodeConfig.layer, NodeServices.layer]),
  Layer.launch,
  Effect.tapError((error) => Console.log(error.message)),
  NodeRuntime.runMain({ disableErrorReporting: true })
)
