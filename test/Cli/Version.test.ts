/** How few modules `src/Cli.ts` loads for `spillway --version`. */
import { spawnSync } from "node:child_process"
import * as Path from "node:path"
import { assert, it } from "@effect/vitest"
import { loadedOf, traceModules } from "../support/Tracer.ts"

it("loads no recording, database or storage module", () => {
  const { stderr, stdout } = spawnSync(process.execPath, ["src/Cli.ts", "--version"], {
    cwd: Path.join(import.meta.dirname, "../.."),
    env: { ...process.env, NODE_OPTIONS: traceModules },
    encoding: "utf8"
  })
  assert.match(stdout, /^spillway v\d/)
  const { count, packages } = loadedOf(stderr)
  assert.deepStrictEqual(packages, ["@effect/platform-node", "@effect/platform-node-shared", "effect", "ws"])
  assert.isBelow(count, 450)
})
