/** One server at a time in a data directory: a second one changes nothing, and a killed one leaves nothing to clean up. */
import * as Fs from "node:fs"
import { hostname } from "node:os"
import * as Path from "node:path"
import { assert, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { DbServer } from "../../src/Db/DbServer.ts"
import * as Postgres from "../support/Postgres.ts"
import { dataDirectory, type Server, spawnServer, startServer } from "../support/Server.ts"

/** A server's environment for a database that others can use too. */
const shared = Effect.map(DbServer, ({ login }) => {
  if (!Redacted.isRedacted(login.password)) throw new Error("the test's database has a password")
  const socket = encodeURIComponent(login.host ?? "")
  const url = `postgres://${login.username}:${Redacted.value(login.password)}@localhost/${login.database}?host=${socket}`
  return { DATABASE_URL: url, SPILLWAY_LOG_LEVEL: "Error" }
})

const directory = Effect.acquireRelease(Effect.sync(dataDirectory), (dataDir) =>
  Effect.sync(() => Fs.rmSync(Path.dirname(dataDir), { recursive: true, force: true, maxRetries: 20 }))
)

const server = (dataDir: string, env: Readonly<Record<string, string>>) =>
  Effect.acquireRelease(
    Effect.promise(() => startServer(dataDir, env)),
    (server: Server) => Effect.promise(() => server.kill())
  )

const refusal = (dataDir: string, env: Readonly<Record<string, string>>) =>
  Effect.promise(async () => {
    const { child, output } = spawnServer(dataDir, env)
    const code = await new Promise<number | null>((resolve) => child.once("exit", resolve))
    return { code, output: output().trim() }
  })

it.live(
  "names the process that uses the data directory, leaves its journal alone, and lets one other start once it is killed",
  () =>
    Effect.gen(function* () {
      const dataDir = yield* directory
      const env = yield* shared
      const first = yield* server(dataDir, env)
      const journal = Fs.readdirSync(Path.join(dataDir, "journal"))
      const { code, output } = yield* refusal(dataDir, env)
      assert.strictEqual(code, 1)
      assert.strictEqual(
        output,
        `spillway: Another Spillway (process ${first.pid} on ${hostname()}) uses the data directory ${dataDir}. ` +
          "Stop it first, or set SPILLWAY_DATA_DIR to another directory."
      )
      assert.deepStrictEqual(Fs.readdirSync(Path.join(dataDir, "journal")), journal)
      yield* Effect.promise(() => first.kill())
      const starts = yield* Effect.forEach([1, 2, 3], () => Effect.exit(server(dataDir, env)), { concurrency: 3 })
      assert.strictEqual(starts.filter((start) => start._tag === "Success").length, 1)
    }).pipe(Effect.scoped, Effect.provide(Postgres.layerServer))
)
