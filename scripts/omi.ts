/**
 * `npm run omi -- [RESTARTS] [USERS] [SEED]`: a day of omi's backend at speed, with 10 restarts of the server and 3 users. More
 * users than that fail as often during a restart as opens the breaker that they share. Exit code 1: something that was sent to an
 * open socket is missing, a finish has no answer, or the breaker opened.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { day } from "../test/Pusher/support/OmiDay.ts"
import { dataDirectory } from "../test/support/Server.ts"

const [restarts = 10, users = 3, seed = Date.now() % 1_000_000] = process.argv.slice(2).map(Number)
const dataDir = dataDirectory()
try {
  const report = await day({ dataDir, users, conversations: 24, restarts, seed })
  console.log(JSON.stringify({ restarts, users, seed, ...report }, undefined, 2))
  process.exitCode = report.wrong.length > 0 ? 1 : 0
} finally {
  fs.rmSync(path.dirname(dataDir), { recursive: true, force: true, maxRetries: 20 })
}
