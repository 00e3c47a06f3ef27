/**
 * `npm run deletions -- [KILLS] [SEED]`: two nodes delete 100,000 objects, each once; then nodes are killed with SIGKILL at
 * random instants while they delete, 100 times by default. Exit code 1: a promise was broken.
 */
import { Effect, Layer } from "effect"
import { deletionOnly } from "../test/Deletion/support/DeletionOnly.ts"
import { complaints, killRounds } from "../test/Deletion/support/KillRounds.ts"
import { share } from "../test/Deletion/support/Shares.ts"
import * as ScratchDatabase from "../test/support/ScratchDatabase.ts"

const kills = Number(process.argv[2] ?? "100")
const seed = Number(process.argv[3] ?? Date.now() % 1_000_000)
const killsInRound = 20

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

const layer = deletionOnly.pipe(Layer.provideMerge(ScratchDatabase.layer))
process.exitCode = (await Effect.runPromise(Effect.provide(program, layer))) > 0 ? 1 : 0
