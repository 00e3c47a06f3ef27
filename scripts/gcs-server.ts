/** `npm run gcs-server [-- --port PORT] [--bucket NAME …]`: the storage server of the tests, to try things against. */
import { parseArgs } from "node:util"
import { GcsServer } from "../test/support/gcs/Server.ts"

const { values } = parseArgs({
  options: {
    port: { type: "string", default: "4443" },
    bucket: { type: "string", multiple: true, default: ["spillway"] }
  }
})

const server = await GcsServer.start({ port: Number(values.port), buckets: values.bucket })
const settings = `SPILLWAY_GCS_ENDPOINT=${server.url} SPILLWAY_BUCKET=${values.bucket[0]}`
console.log(
  `Google Cloud Storage in memory at ${server.url}, until this process ends.\nUse it with: ${settings} npm start`
)

const stop = () => void server.stop()
process.once("SIGINT", stop)
process.once("SIGTERM", stop)
