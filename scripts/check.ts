/** `npm run check [-- NAME …]`: runs all checks besides the tests in parallel, one line each. */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Architecture from "./Architecture.ts"
import * as Commits from "./Commits.ts"
import * as Docs from "./Docs.ts"
import * as Flake from "./Flake.ts"
import * as Lockfile from "./Lockfile.ts"

const root = path.join(import.meta.dirname, "..")
const bin = (name: string) => path.join(root, "node_modules", ".bin", name)

/** Returns a description of the problems, or an empty text. */
type Check = () => Promise<string>

/** A command that exits with 0 on success. */
const command =
  (file: string, ...args: ReadonlyArray<string>): Check =>
  () =>
    new Promise((resolve) => {
      const child = spawn(file, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] })
      let output = ""
      child.stdout.on("data", (data) => (output += data))
      child.stderr.on("data", (data) => (output += data))
      child.once("error", (cause) => resolve(`${file}: ${cause.message}`))
      child.once("close", (code) => resolve(code === 0 ? "" : `${output.trim()}\n(exit code ${code})`))
    })

const lines =
  (body: () => ReadonlyArray<string> | Promise<ReadonlyArray<string>>): Check =>
  async () =>
    (await body()).join("\n")

const checks: Readonly<Record<string, Check>> = {
  format: command(bin("oxfmt"), "--check"),
  lint: command(bin("oxlint"), "--deny-warnings"),
  types: command(bin("tsc"), "--project", "tsconfig.json"),
  page: command(bin("tsc"), "--project", "src/Web/Page/tsconfig.json"),
  "page tests": command(bin("tsc"), "--project", "test/Web/tsconfig.json"),
  effect: command(
    process.execPath,
    bin("effect-tsgo"),
    "diagnostics",
    "--project",
    "tsconfig.json",
    "--format",
    "text",
    "--severity",
    "error,warning",
    "--strict"
  ),
  architecture: lines(() => Architecture.problems(Architecture.sources(root))),
  commits: lines(() => Commits.problems(root)),
  flake: lines(() => Flake.problems(root)),
  docs: lines(() => Docs.problems(root)),
  lockfile: lines(() => Lockfile.problems(JSON.parse(fs.readFileSync(path.join(root, "package-lock.json"), "utf8"))))
}

const asked = process.argv.slice(2)
const unknown = asked.filter((name) => checks[name] === undefined)
if (unknown.length > 0) {
  console.error(`There is no check "${unknown.join('", "')}". There are: ${Object.keys(checks).join(", ")}`)
  process.exit(1)
}

const run = async ([name, check]: readonly [string, Check]) => {
  const started = performance.now()
  const problem = await check().catch((cause: unknown) =>
    cause instanceof Error ? (cause.stack ?? "") : String(cause)
  )
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  console.log(`${problem === "" ? "ok  " : "FAIL"} ${name} (${seconds} s)`)
  return { name, problem }
}

const chosen = Object.entries(checks).filter(([name]) => asked.length === 0 || asked.includes(name))
const failed = (await Promise.all(chosen.map(run))).filter(({ problem }) => problem !== "")
for (const { name, problem } of failed) console.error(`\n== ${name}\n${problem}`)
if (failed.length > 0) process.exitCode = 1
