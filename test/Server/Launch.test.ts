/** A failed start prints one clear line that says what to do, and exits with 1. */
import * as Fs from "node:fs"
import { createServer } from "node:net"
import * as Path from "node:path"
import { PgClient } from "@effect/sql-pg"
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { Reactivity } from "effect/reactivity"
import { onTestFinished } from "vitest"
import { DbServer } from "../../src/Db/DbServer.ts"
import { freePort } from "../support/FreePort.ts"
import * as Postgres from "../support/Postgres.ts"
import { exchange } from "../support/RawHttp.ts"
import { spawnServer, startEmpty } from "../support/Server.ts"
import { testDirectory, testServer } from "../support/TestServer.ts"
import { loadedOf, traceModules } from "../support/Tracer.ts"

const failedStart = async (dataDir: string, env: Readonly<Record<string, string>>) => {
  const { child, output } = spawnServer(dataDir, { SPILLWAY_LOG_LEVEL: "None", ...env })
  onTestFinished(() => void child.kill("SIGKILL"))
  const code = await new Promise<number | null>((resolve) => child.once("exit", resolve))
  return { code, lines: output().trim().split("\n") }
}

const withDirectory = (test: (dataDir: string) => Promise<void>) => test(testDirectory())

it("names every wrong setting at once, with what was expected", () =>
  withDirectory(async (dataDir) => {
    const { code, lines } = await failedStart(dataDir, {
      SPILLWAY_PORT: "http",
      SPILLWAY_COMMIT_INTERVAL: "soon",
      SPILLWAY_JOURNAL_BYTES: "-1",
      SPILLWAY_DATADIR: "/x"
    })
    assert.strictEqual(code, 1)
    const text = lines.join("\n")
    for (const env of ["SPILLWAY_PORT", "SPILLWAY_COMMIT_INTERVAL", "SPILLWAY_JOURNAL_BYTES"]) {
      assert.match(text, new RegExp(`${env}: expected .+, found "`))
    }
    assert.match(text, /SPILLWAY_DATADIR is no setting.*SPILLWAY_DATA_DIR/)
  }))

it("says which variables are empty, and starts as if they were not set", () =>
  withDirectory(async (dataDir) => {
    const { lines } = await failedStart(dataDir, {
      DATABASE_URL: "postgres://u:p@127.0.0.1:1/x",
      SPILLWAY_BUCKET: "",
      DB_START_TIMEOUT: "1 millis",
      SPILLWAY_LOG_LEVEL: "Warn"
    })
    assert.match(lines[0] ?? "", /SPILLWAY_BUCKET is empty, which counts as not set\./)
    assert.match(lines[1] ?? "", /^spillway: The database 127\.0\.0\.1:1\/x can't be used/)
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
      DB_START_TIMEOUT: "1 second"
    })
    assert.strictEqual(code, 1)
    assert.match(lines.at(-1) ?? "", /^spillway: .*127\.0\.0\.1:9/)
    assert.notInclude(lines.join("\n"), "hunter2")
  }))

it("says that the data directory is another major version's", () =>
  withDirectory(async (dataDir) => {
    const server = await testServer({}, dataDir)
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
    assert.match(lines.at(-1) ?? "", /^spillway: .*data \(it is not a directory\)/)
  }))

it("says that no directory can be created, without retrying for ever", async () => {
  const { code, lines } = await failedStart("/proc/nothing/data", {})
  assert.deepStrictEqual([code, lines.length], [1, 1])
  assert.match(
    lines[0] ?? "",
    /^spillway: Can't write to the data directory \/proc\/nothing\/data \(.+\)\..*SPILLWAY_DATA_DIR/
  )
})

it("warns about variables that look like settings and are none", () =>
  withDirectory(async (dataDir) => {
    const server = await testServer({ SPILLWAY_COMIT_INTERVAL: "1 second" }, dataDir)
    await server.stop()
    const warning = server
      .output()
      .split("\n")
      .find((line) => line.includes("COMIT"))
    assert.match(warning ?? "", /WARN/)
    assert.include(warning, "Did you mean SPILLWAY_COMMIT_INTERVAL?")
  }))

/** Signals a server as soon as it reports this start-up step; returns its exit code. */
const stopDuring = async (step: string, dataDir: string, env: Readonly<Record<string, string>> = {}) => {
  const port = await freePort()
  const { child, output } = spawnServer(dataDir, { SPILLWAY_PORT: String(port), ...env })
  onTestFinished(() => void child.kill("SIGKILL"))
  const ended = new Promise<number | null>((resolve) => child.once("exit", resolve))
  const seen = async (): Promise<void> => {
    const { body } = await exchange(port, "GET /health/ready HTTP/1.1\nHost: x\n\n")
    if (child.exitCode !== null) throw new Error(`it ended before: ${output()}`)
    if (!body.includes(step)) await seen()
  }
  await seen()
  child.kill("SIGTERM")
  const at = performance.now()
  const code = await ended
  assert.isBelow(performance.now() - at, 15_000)
  return code
}

it("exits with 0 on a signal while its modules load", () =>
  withDirectory(async (dataDir) => {
    const { child } = spawnServer(dataDir, { NODE_OPTIONS: traceModules })
    onTestFinished(() => void child.kill("SIGKILL"))
    await new Promise<void>((resolve) => child.stderr.on("data", (text) => text.includes("/main.js") && resolve()))
    child.kill("SIGTERM")
    assert.strictEqual(await new Promise((resolve) => child.once("exit", resolve)), 0)
  }))

it("exits with 0 on a signal while its database is created, and creates it at the next start", () =>
  withDirectory(async (dataDir) => {
    assert.strictEqual(await stopDuring("The database is being created.", dataDir), 0)
    const server = await startEmpty(dataDir)
    onTestFinished(() => server.kill())
    assert.strictEqual(await server.stop(), 0)
  }))

it("exits with 0 on a signal while PostgreSQL starts, and leaves no PostgreSQL behind", () =>
  withDirectory(async (dataDir) => {
    assert.strictEqual(await stopDuring("PostgreSQL is starting.", dataDir), 0)
    assert.isFalse(Fs.existsSync(Path.join(dataDir, "postgres/data/postmaster.pid")))
  }))

it("exits with 0 on a signal while it waits for its database", () =>
  withDirectory(async (dataDir) => {
    const env = { DATABASE_URL: "postgres://u:p@127.0.0.1:9/x" }
    assert.strictEqual(await stopDuring("Waiting for the database", dataDir, env), 0)
  }))

it("exits with 0 on a signal while the journal is recovered, and loses nothing of it", () =>
  withDirectory(async (dataDir) => {
    const server = await testServer({}, dataDir)
    assert.strictEqual(await server.stop(), 0)
    const segment = Path.join(dataDir, "journal", "0000000000000900.wal")
    Fs.writeFileSync(segment, "")
    // Takes a minute to read, and no space.
    Fs.truncateSync(segment, 2 ** 36)
    assert.strictEqual(await stopDuring("The journal is being recovered.", dataDir), 0)
    assert.strictEqual(Fs.statSync(segment).size, 2 ** 36)
  }))

it.live("exits with 0 on a signal while another node migrates the schema", () =>
  Effect.gen(function* () {
    const { login } = yield* DbServer
    const sql = yield* PgClient.makeClient(login)
    yield* sql`SELECT pg_advisory_lock(x'7370696c'::bigint)::text`
    const query = new URLSearchParams({ host: login.host ?? "", user: login.username ?? "" })
    const password = Redacted.isRedacted(login.password) ? Redacted.value(login.password) : ""
    const DATABASE_URL = `postgres://:${password}@/${login.database}?${query}`
    yield* Effect.promise(() =>
      withDirectory(async (dataDir) =>
        assert.strictEqual(await stopDuring("schema is being migrated", dataDir, { DATABASE_URL }), 0)
      )
    )
  }).pipe(Effect.provide(Layer.merge(Postgres.layerServerEmpty, Reactivity.layer)))
)

it("loads no store client, decoder or documentation that it does not use", () =>
  withDirectory(async (dataDir) => {
    const server = await testServer({ NODE_OPTIONS: traceModules }, dataDir)
    await server.stop()
    const { count, packages } = loadedOf(server.output())
    assert.deepStrictEqual(
      packages.filter((name) => !name.startsWith("@node-rs/")),
      []
    )
    assert.isBelow(count, 60)
    assert.notMatch(server.output(), /httpApiScalar|GcsStorage|JwtVerifier/)
  }))
