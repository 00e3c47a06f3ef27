/** scripts/ensure.mjs against a stand-in for npm: what it does on a fresh clone, twice at once, and after a failure. */
import { assert, describe, it } from "@effect/vitest"
import { type ChildProcess, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { testFolder } from "../support/TestFolder.ts"

const script = path.join(import.meta.dirname, "../../scripts/ensure.mjs")

/** Counts its calls, follows `FAKE_NPM`, and leaves the files of `npm ci`. */
const fakeNpm = `
const fs = require("fs")
const path = require("path")
fs.appendFileSync("calls", process.argv.slice(2).join(" ") + "\\n")
fs.writeFileSync("cache", process.env.npm_config_cache || "")
fs.rmSync("node_modules", { recursive: true, force: true })
const what = process.env.FAKE_NPM
if (what === "fail") { console.error("npm error code E404"); process.exit(1) }
const lock = JSON.parse(fs.readFileSync("package-lock.json", "utf8"))
for (const name of Object.keys(lock.packages)) {
  if (name === "" || (what === "leave-out" && lock.packages[name].optional)) continue
  fs.mkdirSync(name, { recursive: true })
  fs.writeFileSync(path.join(name, "package.json"), "{}")
}
if (what === "hang") fs.writeFileSync("npm.pid", String(process.pid))
if (what === "die") process.kill(process.pid, "SIGKILL")
if (what === "no-node") {
  fs.mkdirSync("node_modules/.bin")
  fs.writeFileSync("node_modules/.bin/node", "#!/bin/sh\\nexit 127\\n", { mode: 0o755 })
}
if (what === "no-link") {
  const folder = "node_modules/node-" + process.platform + "-" + process.arch + "/bin"
  fs.mkdirSync(folder, { recursive: true })
  fs.writeFileSync(folder + "/node", "#!/bin/sh\\necho v24.0.0\\n", { mode: 0o755 })
}
const pause = what === "hang" ? 2 ** 30 : 300
setTimeout(() => fs.writeFileSync("node_modules/.package-lock.json", JSON.stringify(lock)), pause)
`

const lockOf = (version: string) =>
  JSON.stringify({
    packages: {
      "": { optionalDependencies: { tool: version, "tool-elsewhere": version } },
      "node_modules/a": { version, integrity: version },
      "node_modules/tool": { version, optional: true, os: [process.platform], cpu: [process.arch] },
      "node_modules/tool-elsewhere": { version, optional: true, os: ["elsewhere"] }
    }
  })

interface Options {
  readonly npm?: string
  readonly env?: Readonly<Record<string, string | undefined>>
  /** For Node. */
  readonly args?: ReadonlyArray<string>
  readonly program?: ReadonlyArray<string>
  readonly meanwhile?: (child: ChildProcess) => void
}

const project = () => {
  const root = testFolder()
  fs.mkdirSync(path.join(root, "scripts"))
  fs.copyFileSync(script, path.join(root, "scripts/ensure.mjs"))
  fs.writeFileSync(path.join(root, "npm.cjs"), fakeNpm)
  fs.writeFileSync(path.join(root, "old.cjs"), 'Object.defineProperty(process, "version", { value: "v20.20.2" })')
  const lock = (version: string) => fs.writeFileSync(path.join(root, "package-lock.json"), lockOf(version))
  lock("1")
  const calls = () => {
    const file = path.join(root, "calls")
    return fs.existsSync(file) ? fs.readFileSync(file, "utf8").trim().split("\n") : []
  }
  const ensure = (options: Options = {}) =>
    new Promise<{ readonly code: number | null; readonly shown: string }>((resolve) => {
      const { NODE_COMPILE_CACHE: _, ...inherited } = process.env
      const env = { ...inherited, npm_execpath: path.join(root, "npm.cjs"), FAKE_NPM: options.npm ?? "" }
      const args = [...(options.args ?? []), path.join(root, "scripts/ensure.mjs"), ...(options.program ?? [])]
      // The tests' own run has a cache elsewhere.
      const own = { ...env, NODE_COMPILE_CACHE: undefined, npm_node_execpath: process.execPath, ...options.env }
      const child = spawn(process.execPath, args, { env: own })
      options.meanwhile?.(child)
      let shown = ""
      child.stdout.on("data", (data) => (shown += data))
      child.stderr.on("data", (data) => (shown += data))
      child.once("close", (code) => resolve({ code, shown }))
    })
  return { root, lock, calls, ensure }
}

describe("ensure", () => {
  it("installs on a fresh clone without install scripts, and does nothing the next time", async () => {
    const { calls, ensure } = project()
    const first = await ensure()
    assert.strictEqual(first.code, 0, first.shown)
    assert.match(first.shown, /Installing dependencies[^]*Installed in \d+ s/)
    assert.deepStrictEqual(await ensure(), { code: 0, shown: "" })
    assert.lengthOf(calls(), 1)
    assert.match(calls()[0] ?? "", /^ci .*--ignore-scripts/)
  })

  it("gives npm a cache in the clone when the user's home is not writable", async () => {
    const { ensure, root } = project()
    fs.writeFileSync(path.join(root, "home"), "a file, in which no directory can be made")
    const cache = () => fs.readFileSync(path.join(root, "cache"), "utf8")
    for (const npm_config_cache of [undefined, path.join(root, "home/.npm")]) {
      const { code, shown } = await ensure({ env: { HOME: path.join(root, "home"), npm_config_cache } })
      assert.strictEqual(code, 0, shown)
      assert.strictEqual(cache(), path.join(root, ".cache/npm"))
      fs.rmSync(path.join(root, "node_modules"), { recursive: true })
    }
    // npm then finds its cache itself: a configuration file may name another one.
    await ensure({ env: { HOME: root, npm_config_cache: undefined } })
    assert.strictEqual(cache(), "")
  })

  it("installs again when the lockfile has changed", async () => {
    const { calls, ensure, lock } = project()
    await ensure()
    lock("2")
    assert.strictEqual((await ensure()).code, 0)
    assert.lengthOf(calls(), 2)
  })

  it("accepts a finished npm install", async () => {
    const { calls, ensure, lock, root } = project()
    await ensure()
    lock("2")
    fs.copyFileSync(path.join(root, "package-lock.json"), path.join(root, "node_modules/.package-lock.json"))
    assert.deepStrictEqual(await ensure(), { code: 0, shown: "" })
    assert.lengthOf(calls(), 1)
  })

  it("installs once when two processes start at the same time", async () => {
    const { calls, ensure } = project()
    const both = await Promise.all([ensure(), ensure()])
    assert.deepStrictEqual(
      both.map(({ code }) => code),
      [0, 0]
    )
    assert.lengthOf(calls(), 1)
    assert.include(both.map(({ shown }) => shown).join(""), "waiting for it")
  })

  it("takes over from an install that was killed", async () => {
    const { calls, ensure, root } = project()
    const gone = spawn(process.execPath, ["-e", ""])
    await new Promise((resolve) => gone.once("close", resolve))
    fs.mkdirSync(path.join(root, ".cache"))
    fs.writeFileSync(path.join(root, ".cache/ensure.lock"), String(gone.pid))
    assert.strictEqual((await ensure()).code, 0)
    assert.lengthOf(calls(), 1)
    assert.deepStrictEqual(fs.readdirSync(path.join(root, ".cache")), [])
  })

  it("shows npm's output and one clear line when npm ci fails, and tries again the next time", async () => {
    const { calls, ensure } = project()
    const { code, shown } = await ensure({ npm: "fail" })
    assert.strictEqual(code, 1)
    assert.match(shown, /npm error code E404\n[^\n]*could not be installed: npm ci failed \(exit code 1\)[^\n]*\n$/)
    assert.strictEqual((await ensure()).code, 0)
    assert.lengthOf(calls(), 2)
  })

  it("repeats an install that was aborted", async () => {
    const { calls, ensure } = project()
    assert.strictEqual((await ensure({ npm: "die" })).code, 1)
    assert.strictEqual((await ensure()).code, 0)
    assert.lengthOf(calls(), 2)
  })

  it("names this platform's package when npm has silently omitted it", async () => {
    const { calls, ensure } = project()
    const { code, shown } = await ensure({ npm: "leave-out" })
    assert.strictEqual(code, 1)
    assert.match(shown, /npm ci left out tool:/)
    assert.strictEqual((await ensure()).code, 0)
    assert.lengthOf(calls(), 2)
  })

  it("says what to do when Node is too old and the packages brought none", async () => {
    const { ensure, root } = project()
    const { code, shown } = await ensure({ args: ["--require", path.join(root, "old.cjs")] })
    assert.strictEqual(code, 1)
    assert.match(shown, /needs Node 22\.19 or newer; this is v20\.20\.2/)
  })

  it("links the Node of the packages where npm has not", async () => {
    const { ensure, root } = project()
    const { code, shown } = await ensure({ npm: "no-link" })
    assert.strictEqual(code, 0, shown)
    assert.include(fs.readFileSync(path.join(root, "node_modules/.bin/node"), "utf8"), "v24.0.0")
  })

  it("falls back to the system's Node when the packages' Node does not run here", async () => {
    const { ensure, root } = project()
    assert.strictEqual((await ensure({ npm: "no-node" })).code, 0)
    assert.isFalse(fs.existsSync(path.join(root, "node_modules/.bin/node")))
  })

  const write = (root: string, file: string, text: string, mode = 0o644) => {
    fs.mkdirSync(path.dirname(path.join(root, file)), { recursive: true })
    fs.writeFileSync(path.join(root, file), text, { mode })
  }

  /** Calls back when the file is there. */
  const whenThere = (root: string, name: string, then: () => void) => {
    const watcher = fs.watch(root, () => {
      if (!fs.existsSync(path.join(root, name)) || fs.readFileSync(path.join(root, name), "utf8") === "") return
      watcher.close()
      then()
    })
  }

  for (const [program, expected] of [
    ["src/main.ts", 0],
    ["src/Cli.ts", 143]
  ] as const) {
    it(`exits with ${expected} and ends npm when ${program} is signalled while packages are installed`, async () => {
      const { ensure, root } = project()
      const { code, shown } = await ensure({
        npm: "hang",
        program: [program],
        meanwhile: (child) => whenThere(root, "npm.pid", () => child.kill("SIGTERM"))
      })
      assert.strictEqual(code, expected, shown)
      assert.isFalse(fs.existsSync(path.join(root, ".cache/ensure.lock")))
      const npm = Number(fs.readFileSync(path.join(root, "npm.pid"), "utf8"))
      const isGone = () => {
        try {
          return process.kill(npm, 0) && fs.readFileSync(`/proc/${npm}/stat`, "utf8").includes(") Z ")
        } catch {
          return true
        }
      }
      while (!isGone()) await new Promise(setImmediate)
    })
  }

  it("runs a program in its own process with its arguments, and caches its compiled modules", async () => {
    const { ensure, root } = project()
    const source = "console.log(process.pid, JSON.stringify(process.argv.slice(1)))"
    write(root, "src/Cli.mjs", `${source}; process.exitCode = 7`)
    let pid = 0
    const { code, shown } = await ensure({
      program: ["src/Cli.mjs", "a", "--b"],
      meanwhile: (child) => (pid = child.pid ?? 0)
    })
    assert.strictEqual(code, 7)
    assert.include(shown, `${pid} ${JSON.stringify([path.join(root, "src/Cli.mjs"), "a", "--b"])}`)
    assert.isNotEmpty(fs.readdirSync(path.join(root, ".cache/compile")))
  })

  it("runs a program on the packages' Node when its own is too old, and forwards signals and the exit code", async () => {
    const { ensure, root } = project()
    await ensure()
    write(root, "node_modules/.bin/node", `#!/bin/sh\nexec "${process.execPath}" "$@"\n`, 0o755)
    const source = 'process.once("SIGTERM", () => process.exit(5)); setInterval(() => {}, 1000)'
    write(root, "src/main.mjs", `${source}; import("node:fs").then((fs) => fs.writeFileSync("${root}/up", "1"))`)
    const { code, shown } = await ensure({
      args: ["--require", path.join(root, "old.cjs")],
      program: ["src/main.mjs"],
      meanwhile: (child) => whenThere(root, "up", () => child.kill("SIGTERM"))
    })
    assert.strictEqual(code, 5, shown)
  })
})
