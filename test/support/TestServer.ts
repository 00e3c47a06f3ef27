/** Servers for tests. They end, and their data is deleted, when the test or the file ends. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { afterAll, afterEach, assert, beforeAll, onTestFailed, onTestFinished } from "vitest"
import { dataDirectory, type Server, startServer } from "./Server.ts"

type Env = Readonly<Record<string, string>>

const remove = (dataDir: string) => Fs.rmSync(Path.dirname(dataDir), { recursive: true, force: true, maxRetries: 20 })

/** What a failure needs to be understood that can't be repeated: the server's log, its captures, and whether it still answers. */
const describe = async ({ key, output, url }: Pick<Server, "key" | "output" | "url">) => {
  const captures = fetch(`${url}/v1/captures`, {
    headers: { authorization: `Bearer ${key}` },
    signal: AbortSignal.timeout(5_000)
  })
  const answer = await captures.then(
    (response) => response.text(),
    (error: unknown) => String(error)
  )
  console.error(`the server of the failed test:\n${output().slice(-20_000)}\n/v1/captures: ${answer}`)
}

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
  onTestFailed(() => describe(server))
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
  afterEach(async ({ task }) => {
    if (task.result?.state === "fail" && server !== undefined) await describe(server)
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
