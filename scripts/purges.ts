/**
 * `npm run purges -- [PURGES] [SEED]`: purges conversations and accounts, 52 by default, while devices record them on two
 * servers, requests to the store get lost, and a server is killed with SIGKILL; then compares what is left.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { NodeServices } from "@effect/platform-node"
import { Effect, Layer, References } from "effect"
import * as Database from "../src/Db/Database.ts"
import { DbConfig } from "../src/Db/DbConfig.ts"
import { DbServer } from "../src/Db/DbServer.ts"
import * as EmbeddedPostgres from "../src/Db/Postgres/EmbeddedPostgres.ts"
import { NodeConfig } from "../src/NodeConfig.ts"
import { complaints, purgeRounds } from "../test/Purges/support/Rounds.ts"

const perWave = 4
const waves = Math.ceil(Number(process.argv[2] ?? "52") / perWave)
const seed = Number(process.argv[3] ?? Date.now() % 1_000_000)

const dataDir = fs.mkdtempSync(path.join(os.tmpdir(), "spillway-purges-"))
fs.chmodSync(dataDir, 0o755)
const layer = Database.layerNoDeps.pipe(
  Layer.provideMerge(EmbeddedPostgres.layerNotDurable),
  Layer.provide([DbConfig.layer, Layer.succeed(NodeConfig, { dataDir })]),
  Layer.provideMerge(NodeServices.layer)
)

const program = Effect.gen(function* () {
  const { login } = yield* DbServer
  const report = yield* Effect.promise(() => purgeRounds(login, { waves, perWave, seed }))
  const wrong = complaints(report)
  console.log(JSON.stringify({ seed, wrong, ...report }))
  return wrong.length
})

try {
  const wrong = await program.pipe(
    Effect.provide(layer),
    Effect.provideService(References.MinimumLogLevel, "Warn"),
    Effect.runPromise
  )
  process.exitCode = wrong > 0 ? 1 : 0
} finally {
  fs.rmSync(dataDir, { recursive: true, force: true })
}
