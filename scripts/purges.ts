/**
 * `npm run purges -- [PURGES] [SEED]`: purges conversations and accounts, 52 by default, while devices record them on two
 * servers, requests to the store get lost, and a server is killed with SIGKILL; then compares what is left. Exit code 1: a
 * promise was broken.
 */
import { Effect } from "effect"
import { DbServer } from "../src/Db/DbServer.ts"
import { complaints, purgeRounds } from "../test/Purges/support/Rounds.ts"
import * as ScratchDatabase from "../test/support/ScratchDatabase.ts"

const perWave = 4
const waves = Math.ceil(Number(process.argv[2] ?? "52") / perWave)
const seed = Number(process.argv[3] ?? Date.now() % 1_000_000)

const program = Effect.gen(function* () {
  const { login } = yield* DbServer
  const report = yield* Effect.promise(() => purgeRounds(login, { waves, perWave, seed }))
  const wrong = complaints(report)
  console.log(JSON.stringify({ seed, wrong, ...report }))
  return wrong.length
})

process.exitCode = (await Effect.runPromise(Effect.provide(program, ScratchDatabase.layer))) > 0 ? 1 : 0
