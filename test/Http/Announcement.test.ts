/** What people are told when the server starts. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, it } from "@effect/vitest"
import { onTestFinished } from "vitest"
import { dataDirectory, startServer } from "../support/Server.ts"

it("is a link with the key in its fragment at the first start, and without it later", { timeout: 60_000 }, async () => {
  const dataDir = dataDirectory()
  onTestFinished(() => Fs.rmSync(Path.dirname(dataDir), { recursive: true, force: true }))
  const start = async (env: Readonly<Record<string, string>> = {}) => {
    const server = await startServer(dataDir, env)
    while (!/^Open .*$/m.test(server.output())) await new Promise(setImmediate)
    await server.stop()
    return { ...server, link: /^Open (\S+) in a browser: (.*)$/m.exec(server.output())?.slice(1) }
  }
  const first = await start()
  assert.strictEqual(first.link?.[0], `${first.url}/#key=${first.key}`)
  const second = await start()
  assert.deepStrictEqual(second.link, [`${second.url}/`, `the admin key is in ${Path.join(dataDir, "admin-key")}`])
  assert.notInclude(second.output(), first.key)
  const preset = await start({ SPILLWAY_ADMIN_KEY: `spw_${"k".repeat(43)}` })
  assert.deepStrictEqual(preset.link, [`${preset.url}/`, "the admin key is SPILLWAY_ADMIN_KEY's"])
  assert.notInclude(preset.output(), "spw_")
})
