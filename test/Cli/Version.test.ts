/** `spillway --version`: how little it needs. */
import { spawnSync } from "node:child_process"
import * as Path from "node:path"
import { assert, it } from "@effect/vitest"

const root = Path.join(import.meta.dirname, "../..")

/** Prints the path of every module that a program loads. */
const tracer = `
import { registerHooks } from "node:module"
registerHooks({ load: (url, context, next) => (console.error(url), next(url, context)) })
`

it("loads neither the recording nor the database, the store or a client of any of them", () => {
  const { stderr, stdout } = spawnSync(
    process.execPath,
    ["--import", `data:text/javascript,${encodeURIComponent(tracer)}`, "src/Cli.ts", "--version"],
    { cwd: root, encoding: "utf8" }
  )
  assert.match(stdout, /^spillway v\d/)
  const loaded = stderr.split("\n").filter((line) => line.startsWith("file:"))
  const foreign = new Set(loaded.flatMap((url) => /\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1] ?? []))
  assert.deepStrictEqual([...foreign].sort(), ["@effect/platform-node", "@effect/platform-node-shared", "effect", "ws"])
  assert.isBelow(loaded.length, 450)
})
