/**
 * `npm run crash -- [KILLS] [SEED] [--opus]`: kills processes at random instants while devices stream, 1,000 times by default.
 * In every other round only the server is killed, with its own database and a store on disk: with `--opus` all devices send
 * Opus there, otherwise every third one. In the other rounds PostgreSQL and the store are killed, too, and the store hangs.
 */
import { complaints, crash } from "../test/support/Crash.ts"
import { crashWithFaults, faultComplaints } from "../test/support/Crash/Faults.ts"

const numbers = process.argv.slice(2).filter((argument) => argument !== "--opus")
const opus = process.argv.includes("--opus")
const kills = Number(numbers[0] ?? "1000")
const seed = Number(numbers[1] ?? Date.now() % 1_000_000)
const killsInRound = 50
const rounds = Math.ceil(kills / killsInRound)

interface Options {
  readonly kills: number
  readonly seed: number
}

const withFaults = async (options: Options) => {
  const report = await crashWithFaults(options)
  const lost = report.lost > 0 ? [`${report.lost} samples are recorded as lost`] : []
  return { report, wrong: [...faultComplaints(report), ...lost] }
}
const ofServer = async (options: Options) => {
  const report = await crash({ ...options, opus })
  return { report, wrong: complaints(report) }
}

console.log(`${kills} kills in ${rounds} rounds, seed ${seed}`)
let failed = 0
for (let round = 0; round < rounds; round++) {
  const options = { kills: Math.min(killsInRound, kills - round * killsInRound), seed: seed + round }
  const { report, wrong } = await (round % 2 === 0 ? withFaults(options) : ofServer(options))
  if (wrong.length > 0) failed++
  console.log(JSON.stringify({ round: round + 1, wrong, ...report }))
}
console.log(JSON.stringify({ crash: { kills, failedRounds: failed } }))
process.exitCode = failed > 0 ? 1 : 0
