/**
 * `npm run crash -- [KILLS] [SEED] [--opus]`: kills the server with SIGKILL at random instants while devices stream, 1,000
 * times by default. With `--opus` all of them send Opus, otherwise every third one.
 */
import { complaints, crash } from "../test/support/Crash.ts"

const numbers = process.argv.slice(2).filter((argument) => argument !== "--opus")
const opus = process.argv.includes("--opus")
const kills = Number(numbers[0] ?? "1000")
const seed = Number(numbers[1] ?? Date.now() % 1_000_000)
const rounds = Math.ceil(kills / 50)

console.log(`${kills} kills in ${rounds} rounds, seed ${seed}`)
let failed = 0
for (let round = 0; round < rounds; round++) {
  const inRound = Math.min(50, kills - round * 50)
  const report = await crash({ kills: inRound, seed: seed + round, opus })
  const wrong = complaints(report)
  if (wrong.length > 0) failed++
  console.log(JSON.stringify({ round: round + 1, wrong, ...report }))
}
console.log(JSON.stringify({ crash: { kills, failedRounds: failed } }))
process.exitCode = failed > 0 ? 1 : 0
