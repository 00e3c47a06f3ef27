/**
 * `npm run drain -- [CAPTURES] [SECONDS]`: stops a server with SIGTERM while 1,000 captures stream to it, after 30 seconds.
 * Exit code 1: it took more than 35 seconds, a capture was not notified, or acknowledged audio is missing.
 */
import { loadavg } from "node:os"
import { drain, drainComplaints } from "../test/Pusher/support/Drain.ts"

const [captures = 1_000, seconds = 30] = process.argv.slice(2).map(Number)
const report = await drain({ captures, seconds })
const complaints = drainComplaints(report, captures)
console.log(JSON.stringify({ captures, seconds, complaints, ...report, load: loadavg() }, undefined, 2))
process.exitCode = complaints.length > 0 ? 1 : 0
