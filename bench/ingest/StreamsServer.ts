/** The closest durable peer: `@durable-streams/server` with its file store, which syncs each append. Prints its port. */
import { DurableStreamTestServer } from "@durable-streams/server"

const [dataDir = ""] = process.argv.slice(2)
// Of a server that is not listening yet, 0 picks a free port.
const server = new DurableStreamTestServer({ port: 0, dataDir, compression: false })
console.log(JSON.stringify({ port: Number(new URL(await server.start()).port) }))
