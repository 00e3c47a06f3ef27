/** The server's thread pool is larger than the store's share of it. */
import { assert, it } from "@effect/vitest"
import * as Fs from "node:fs"
import { testServer } from "./support/TestServer.ts"

it.skipIf(process.platform !== "linux")("has a thread for the journal when the store uses all of its own", async () => {
  const server = await testServer()
  assert.isAbove(Fs.readdirSync(`/proc/${server.pid}/task`).length, 64)
})
