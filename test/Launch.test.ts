/** What keeps the server from starting is one clear line that says what to do, and an exit code that is not 0. */
import * as Fs from "node:fs"
import { createServer } from "node:net"
import * as Path from "node:path"
import { assert, it } from "@effect/vitest"
import { onTestFinished } from "vitest"
import { dataDirectory, spawnServer, startServer } from "./support/Server.ts"

const failedStart = async (dataDir: string, env: Readonly<Record<string, string>>) => {
  const { child, output } = spawnServer(dataDir, { SPILLWAY_LOG_LEVEL: "None", ...env })
  onTestFinished(() => void child.kill("SIGKILL"))
  const code = await new Promise<number | null>((resolve) => child.once("exit", resolve))
  return { code, lines: output().trim().split("\n") }
}

const withDirectory = async (test: (dataDir: string) => Promise<void>) => {
  const dataDir = dataDirectory()
  try {
    await test(dataDir)
  } finally {
    Fs.rmSync(Path.dirname(dataDir), { recursive: true, force: true })
  }
}

it("names every wrong setting at once, with what was expected", () =>
  withDirectory(async (dataDir) => {
    const { code, lines } = await failedStart(dataDir, {
      SPILLWAY_PORT: "http",
      SPILLWAY_COMMIT_INTERVAL: "soon",
      SPILLWAY_SEGMENT_BYTES: "-1",
      SPILLWAY_DATADIR: "/x"
    })
    assert.strictEqual(code, 1)
    const text = lines.join("\n")
    for (const env of ["SPILLWAY_PORT", "SPILLWAY_COMMIT_INTERVAL", "SPILLWAY_SEGMENT_BYTES"]) {
      assert.match(text, new RegExp(`${env}: expected .+, found "`))
    }
    assert.match(text, /SPILLWAY_DATADIR is no setting.*SPILLWAY_DATA_DIR/)
  }))

it("says which port is taken and how to choose another", () =>
  withDirectory(async (dataDir) => {
    const taken = createServer()
    const port = await new Promise<number>((resolve) =>
      taken.listen(0, "127.0.0.1", () => {
        const address = taken.address()
        resolve(typeof address === "object" && address !== null ? address.port : 0)
      })
    )
    const { code, lines } = await failedStart(dataDir, { SPILLWAY_PORT: String(port) })
    taken.close()
    assert.strictEqual(code, 1)
    assert.match(lines.at(-1) ?? "", new RegExp(`^spillway: .*${port}.*SPILLWAY_PORT`))
  }))

it("says that the database can't be reached, and never shows its password", () =>
  withDirectory(async (dataDir) => {
    const { code, lines } = await failedStart(dataDir, {
      DATABASE_URL: "postgres://u:hunter2@127.0.0.1:9/x",
      SPILLWAY_DB_START_TIMEOUT: "1 second"
    })
    assert.strictEqual(code, 1)
    assert.match(lines.at(-1) ?? "", /^spillway: .*127\.0\.0\.1:9/)
    assert.notInclude(lines.join("\n"), "hunter2")
  }))

it("says that the data directory is another major version's", () =>
  withDirectory(async (dataDir) => {
    const server = await startServer(dataDir)
    assert.strictEqual(await server.stop(), 0)
    const version = Fs.readdirSync(dataDir, { recursive: true, encoding: "utf8" }).find(
      (name) => Path.basename(name) === "PG_VERSION" && !name.includes("base")
    )
    Fs.writeFileSync(Path.join(dataDir, version ?? "missing"), "15\n")
    const { code, lines } = await failedStart(dataDir, {})
    assert.strictEqual(code, 1)
    assert.match(lines.at(-1) ?? "", /^spillway: .*15/)
  }))

it("says that the data directory can't be used", () =>
  withDirectory(async (dataDir) => {
    Fs.writeFileSync(dataDir, "a file")
    const { code, lines } = await failedStart(dataDir, {})
    assert.strictEqual(code, 1)
    assert.match(lines.at(-1) ?? "", /^spillway: .*data \(it is no directory\)/)
  }))

it("says so where no directory can be made, and does not try for ever", async () => {
  const { code, lines } = await failedStart("/proc/nothing/data", {})
  assert.deepStrictEqual([code, lines.length], [1, 1])
  assert.match(
    lines[0] ?? "",
    /^spillway: Can't write to the data directory \/proc\/nothing\/data \(.+\)\..*SPILLWAY_DATA_DIR/
  )
})

it("warns at the start of variables that look like settings and are none", () =>
  withDirectory(async (dataDir) => {
    const server = await startServer(dataDir, { SPILLWAY_COMIT_INTERVAL: "1 second" })
    await server.stop()
    const warning = server
      .output()
      .split("\n")
      .find((line) => line.includes("COMIT"))
    assert.match(warning ?? "", /WARN/)
    assert.include(warning, "Did you mean SPILLWAY_COMMIT_INTERVAL?")
  }))
