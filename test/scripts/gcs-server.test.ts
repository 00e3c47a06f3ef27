/** The local storage server prints its usage and its errors in clear lines. */
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import * as path from "node:path"
import { assert, it } from "@effect/vitest"
import { GcsServer } from "../support/gcs/Server.ts"

const root = path.join(import.meta.dirname, "../..")

const run = (...args: ReadonlyArray<string>) => {
  const { status, stderr, stdout } = spawnSync(process.execPath, ["scripts/gcs-server.ts", ...args], {
    cwd: root,
    encoding: "utf8",
    timeout: 120_000
  })
  assert.notInclude(stderr, "    at ")
  return { status, stderr, stdout }
}

it("prints its usage on request and for wrong arguments", () => {
  const { status, stdout } = run("--help")
  assert.strictEqual(status, 0)
  assert.match(stdout, /^Usage: .*--port PORT.*--bucket NAME/)
  for (const [args, why] of [
    [["--nope"], "Unknown option '--nope'"],
    [["--port", "x"], "--port x is no port"]
  ] as const) {
    const refused = run(...args)
    assert.strictEqual(refused.status, 2)
    assert.isTrue(refused.stderr.startsWith(why), refused.stderr)
    assert.include(refused.stderr, "Usage:")
  }
})

it("says in one line that its port is in use", async () => {
  const server = await GcsServer.start({ buckets: ["taken"] })
  const child = spawn(process.execPath, ["scripts/gcs-server.ts", "--port", new URL(server.url).port], { cwd: root })
  let said = ""
  child.stderr.on("data", (text) => (said += text))
  const [status] = await once(child, "close")
  await server.stop()
  assert.strictEqual(status, 2)
  assert.match(said, /^can't begin: listen EADDRINUSE.*\n$/)
})
