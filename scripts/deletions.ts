/**
 * `npm run deletions -- [KILLS] [SEED]`: two nodes delete 100,000 objects, each once; then nodes are killed with SIGKILL at
 * random instants while they delete, 100 times by default.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { NodeServices } from "@effect/platform-node"
import { Effect, Layer, References } from "effect"
import * as Database from "../src/Db/Database.ts"
import { DbConfig } from "../src/Db/DbConfig.ts"
import * as EmbeddedPostgres from "../src/Db/Postgres/EmbeddedPostgres.ts"
import { NodeConfig } from "../src/NodeConfig.ts"
import { deletionOnly } from "../test/Deletion/support/DeletionOnly.ts"
import { complaints, killRounds } from "../test/Deletion/support/KillRounds.ts"
import { share } from "../test/Deletion/support/Shares.ts"

const kills = Number(process.argv[2] ?? "100")
const seed = Number(process.argv[3] ?? Date.now() % 1_000_000)
const killsInRound = 20

const dataDir = fs.mkdtempSync(path.join(os.tmpdir(), "spillway-deletions-"))
fs.chmodSync(dataDir, 0o755)
const layer = deletionOnly.pipe(
  Layer.provideMerge(Database.layerNoDeps),
  Layer.provideMerge(EmbeddedPostgres.layerNotDurable),
  Layer.provide([DbConfig.layer, Layer.succeed(NodeConfig, { dataDir })]),
  Layer.provideMerge(NodeServices.layer)
)

const program = Effect.gen(function* () {
  const shared = yield* Effect.scoped(share(100_000))
  console.log(JSON.stringify(shared))
  let failed = shared.once === shared.objects ? 0 : 1
  for (let round = 0; round * killsInRound < kills; round++) {
    const inRound = Math.min(killsInRound, kills - round * killsInRound)
    const report = yield* Effect.scoped(killRounds({ kills: inRound, objects: inRound * 250, seed: seed + round }))
    const wrong = complaints(report, 15)
    if (wrong.length > 0) failed++
    console.log(JSON.stringify({ round: round + 1, wrong, ...report }))
  }
  console.log(JSON.stringify({ deletions: { kills, seed, failedRounds: failed } }))
  return failed
})

try {
  const failed = await program.pipe(
    Effect.provide(layer),
    Effect.provideService(References.MinimumLogLevel, "Warn"),
    Effect.runPromise
  )
  process.exitCode = failed > 0 ? 1 : 0
} finally {
  fs.rmSync(dataDir, { recursive: true, force: true })
}
