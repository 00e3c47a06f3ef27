/** Servers for tests. They end, and their data is deleted, when the test or the file ends. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { afterAll, assert, beforeAll, onTestFinished } from "vitest"
import { dataDirectory, type Server, startServer } from "./Server.ts"

type Env = Readonly<Record<string, string>>

const remove = (dataDir: string) => Fs.rmSync(Path.dirname(dataDir), { recursive: true, force: true, maxRetries: 20 })

/** A data directory for one test. */
export const testDirectory = (): string => {
  const dataDir = dataDirectory()
  onTestFinished(() => remove(dataDir))
  return dataDir
}

/** A server for one test. */
export const testServer = async (env: Env = {}, dataDir = testDirectory()): Promise<Server> => {
  const server = await startServer(dataDir, env)
  onTestFinished(() => server.kill())
  return server
}

/** A server for all tests of a file. */
export const fileServer = (env: Env = {}) => {
  const dataDir = dataDirectory()
  let server: Server | undefined
  const started = (): Server => {
    if (server === undefined) throw new Error("the server starts before the first test")
    return server
  }
  beforeAll(async () => {
    server = await startServer(dataDir, env)
  })
  afterAll(async () => {
    const code = await server?.stop()
    remove(dataDir)
    assert.strictEqual(code, 0)
  })
  return {
    dataDir,
    get url() {
      return started().url
    },
    get key() {
      return started().key
    },
    output: () => started().output()
  }
}
