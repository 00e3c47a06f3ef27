/** The bundle of the server and the command line: built when a source has changed, and run instead of the sources. */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, it } from "@effect/vitest"
import { testFolder } from "../support/TestFolder.ts"
import { loadedOf, traceModules } from "../support/Tracer.ts"

const root = path.join(import.meta.dirname, "../..")

/** A project with the sources of the programs. */
const project = () => {
  const folder = testFolder()
  for (const file of ["scripts", "src", "package-lock.json", "package.json", "tsconfig.json"])
    fs.cpSync(path.join(root, file), path.join(folder, file), { recursive: true })
  fs.rmSync(path.join(folder, "scripts/Web.ts"))
  fs.symlinkSync(path.join(root, "node_modules"), path.join(folder, "node_modules"))
  const version = (env: Readonly<Record<string, string>> = {}) =>
    spawnSync(process.execPath, [path.join(folder, "scripts/ensure.mjs"), "src/Cli.ts", "--version"], {
      encoding: "utf8",
      env: { ...process.env, ...env }
    })
  const cache = path.join(folder, ".cache/server")
  const current = () => fs.readFileSync(path.join(cache, "current"), "utf8").split("\n")[0] ?? ""
  const edit = (change: (text: string) => string) => {
    const place = path.join(folder, "src/Cli.ts")
    fs.writeFileSync(place, change(fs.readFileSync(place, "utf8")))
  }
  return { cache, current, edit, version }
}

it("runs the bundle, and builds it again when a source has changed", () => {
  const { cache, current, edit, version } = project()
  assert.match(version().stdout, /^spillway v\d/)
  const first = current()
  const { stderr } = version({ NODE_OPTIONS: traceModules })
  assert.strictEqual(current(), first)
  assert.deepStrictEqual(loadedOf(stderr).packages, [])
  assert.isBelow(loadedOf(stderr).count, 40)
  edit((text) => `${text}\nprocess.stdout.write("edited")\n`)
  assert.include(version().stdout, "edited")
  assert.notStrictEqual(current(), first)
  // A server that was started before still loads parts of its bundle.
  assert.isTrue(fs.existsSync(path.join(cache, first, "main.js")))
  for (let old = 1; old <= 10; old++) {
    fs.mkdirSync(path.join(cache, `old${old}`))
    fs.utimesSync(path.join(cache, `old${old}`), old, old)
  }
  edit((text) => `${text}\n`)
  version()
  const left = fs.readdirSync(cache).filter((name) => name !== "current")
  assert.lengthOf(left, 8)
  assert.includeMembers(left, [current(), first, "old10"])
  assert.notInclude(left, "old5")
})

it("keeps the last bundle when a source does not compile, and names the place", () => {
  const { current, edit, version } = project()
  version()
  const first = current()
  edit((text) => `${text}\nexport const = 1\n`)
  const { status, stderr } = version()
  assert.strictEqual(status, 1)
  assert.match(stderr, /The server could not be bundled: .*\n?.*Cli\.ts:\d+:13/)
  assert.strictEqual(current(), first)
})
