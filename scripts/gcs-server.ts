/** `npm run gcs-server [-- --port PORT] [--bucket NAME …] [--data DIR]`: runs the tests' Google Cloud Storage server. */
import { parseArgs } from "node:util"
import { GcsServer } from "../test/support/gcs/Server.ts"

const usage = `Usage: npm run gcs-server -- [--port PORT] [--bucket NAME]... [--data DIR]

Google Cloud Storage on this machine alone, until it is stopped. Its objects are in memory, and also in DIR if there is one.

  --port PORT    where it listens; 4443 unless said, any free port if 0
  --bucket NAME  a bucket that it has; "spillway" unless said, several if said several times
  --data DIR     where objects are kept, and are again when the next one starts

Start the server with what it prints: SPILLWAY_GCS_ENDPOINT and SPILLWAY_BUCKET.`

/** Prints the reason on standard error and exits. */
const refuse = (why: string): never => {
  console.error(why)
  process.exit(2)
}

const reasonOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))

const parsed = () => {
  try {
    return parseArgs({
      options: {
        port: { type: "string", default: "4443" },
        bucket: { type: "string", multiple: true, default: ["spillway"] },
        data: { type: "string" },
        help: { type: "boolean", short: "h", default: false }
      }
    }).values
  } catch (cause) {
    return refuse(`${reasonOf(cause)}\n\n${usage}`)
  }
}

const { bucket, data, help, port } = parsed()
if (help) {
  console.log(usage)
  process.exit(0)
}
if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) refuse(`--port ${port} is no port\n\n${usage}`)

const kept = data === undefined ? {} : { directory: data }
const server = await GcsServer.start({ port: Number(port), buckets: bucket, ...kept }).catch((cause: unknown) =>
  refuse(`can't begin: ${reasonOf(cause)}`)
)
const settings = `SPILLWAY_GCS_ENDPOINT=${server.url} SPILLWAY_BUCKET=${bucket[0]}`
console.log(`Google Cloud Storage at ${server.url}, until this process ends.\nUse it with: ${settings} npm start`)

const stop = () => void server.stop()
process.once("SIGINT", stop)
process.once("SIGTERM", stop)
