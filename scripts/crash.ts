/**
 * `npm run crash -- [KILLS] [SEED]`: kills the server with SIGKILL at random instants while devices stream, 1,000
 * times by default.
 */
import { complaints, crash } from "../test/support/Crash.ts"

const kills = Number(process.argv[2] ?? "1000")
const seed = Number(process.argv[3] ?? Date.now() % 1_000_000)
const rounds = Math.ceil(kills / 50)

console.log(`${kills} kills in ${rounds} rounds, seed ${seed}`)
let failed = 0
for (let round = 0; round < rounds; round++) {
  const inRound = Math.min(50, kills - round * 50)
  const report = await crash({ kills: inRound, seed: seed + round })
  const wrong = complaints(report)
  if (wrong.length > 0) failed++
  console.log(JSON.stringify({ round: round + 1, wrong, ...report }))
}
console.log(JSON.stringify({ crash: { kills, failedRounds: failed } }))
process.exitCode = failed > 0 ? 1 : 0
