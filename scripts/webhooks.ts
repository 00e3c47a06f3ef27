/**
 * `npm run webhooks -- [EVENTS] [KILLS] [SEED]`: kills a server with SIGKILL at random instants, 50 times by default, while it
 * delivers 1,000 events. Exit code 1: an event did not arrive, or arrived with two bodies.
 */
import { Effect } from "effect"
import { DbServer } from "../src/Db/DbServer.ts"
import * as ScratchDatabase from "../test/support/ScratchDatabase.ts"
import { complaints, deliverWithKills } from "../test/Webhooks/support/Kills.ts"

const events = Number(process.argv[2] ?? "1000")
const kills = Number(process.argv[3] ?? "50")
const seed = Number(process.argv[4] ?? Date.now() % 1_000_000)

const program = Effect.gen(function* () {
  const { login } = yield* DbServer
  const report = yield* Effect.promise(() => deliverWithKills(login, { events, kills, seed }))
  const wrong = complaints(report)
  console.log(JSON.stringify({ seed, wrong, ...report }))
  return wrong.length
})

process.exitCode = (await Effect.runPromise(Effect.provide(program, ScratchDatabase.layer))) > 0 ? 1 : 0
