/** The server's thread pool is larger than what the store may use of it at once. */
import { assert, it } from "@effect/vitest"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { onTestFinished } from "vitest"
import { dataDirectory, startServer } from "./support/Server.ts"

it.skipIf(process.platform !== "linux")("has a thread for the journal when the store uses all of its own", async () => {
  const dataDir = dataDirectory()
  const server = await startServer(dataDir)
  onTestFinished(async () => {
    await server.kill()
    Fs.rmSync(Path.dirname(dataDir), { recursive: true, force: true })
  })
  assert.isAbove(Fs.readdirSync(`/proc/${server.pid}/task`).length, 64)
})
