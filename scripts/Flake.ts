/**
 * Checks flake.nix and flake.lock without nixpkgs: the form and pin of the lock, and, where Nix is installed, the
 * flake's shells against a stub of nixpkgs.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"

const systems = ["aarch64-darwin", "aarch64-linux", "x86_64-linux"]

/** Programs that the benches, the browser tests and the server need. */
const tools = ["nodejs_24", "postgresql", "ffmpeg", "sox", "opus-tools", "nginx", "wrk"]

type Json = Readonly<Record<string, unknown>>

const isJson = (value: unknown): value is Json => typeof value === "object" && value !== null

const at = (value: unknown, ...keys: ReadonlyArray<string>): unknown =>
  keys.reduce<unknown>((inner, key) => (isJson(inner) ? inner[key] : undefined), value)

/** Problems of the lock, one line each. */
export const lockProblems = (flake: string, lockText: string): ReadonlyArray<string> => {
  const lock: unknown = JSON.parse(lockText)
  const inputs = [...flake.matchAll(/inputs\.([\w-]+)\.url\s*=\s*"github:([\w.-]+)\/([\w.-]+)\/([\w.-]+)"/g)]
  const wrong = (name: string, what: string) => `flake.lock: ${name} ${what}`
  const form = [
    ...(at(lock, "version") === 7 ? [] : [wrong("version", "is not 7")]),
    ...(inputs.length > 0 ? [] : ["flake.nix: no input is pinned as github:owner/repo/ref"])
  ]
  const named = Object.keys(Object(at(lock, "nodes", "root", "inputs")))
  const extra = named.filter((name) => !inputs.some(([, input]) => input === name))
  return [
    ...form,
    ...extra.map((name) => wrong(name, "is no input of flake.nix")),
    ...inputs.flatMap(([, name = "", owner, repo, ref]) => {
      const node = at(lock, "nodes", String(at(lock, "nodes", "root", "inputs", name)))
      const narHash = String(at(node, "locked", "narHash"))
      const checks: ReadonlyArray<readonly [boolean, string]> = [
        [
          at(node, "original", "owner") === owner && at(node, "locked", "owner") === owner,
          `has not the owner ${owner}`
        ],
        [at(node, "original", "repo") === repo && at(node, "locked", "repo") === repo, `has not the repo ${repo}`],
        [at(node, "original", "ref") === ref, `has not the ref ${ref}`],
        [at(node, "original", "type") === "github" && at(node, "locked", "type") === "github", "is not from github"],
        [/^[0-9a-f]{40}$/.test(String(at(node, "locked", "rev"))), "has no full revision"],
        [/^sha256-[A-Za-z0-9+/]{43}=$/.test(narHash), "has no sha256 narHash"],
        [Number.isInteger(at(node, "locked", "lastModified")), "has no lastModified in whole seconds"]
      ]
      return checks.filter(([holds]) => !holds).map(([, what]) => wrong(name, what))
    })
  ]
}

/** Problems of the flake's shells, one line each; none without Nix. */
export const shellProblems = (flake: string, nixpkgs: string): ReadonlyArray<string> => {
  const expression = `((import ${flake}).outputs { self = { }; nixpkgs = import ${nixpkgs}; }).devShells`
  const args = ["--store", "dummy://", "--eval", "--strict", "--json", "-E", expression]
  const run = spawnSync("nix-instantiate", args, { encoding: "utf8", timeout: 30_000 })
  if (run.error !== undefined && "code" in run.error && run.error.code === "ENOENT") return []
  if (run.status !== 0) return [`flake.nix can't be evaluated: ${run.stderr.trim()}`]
  const shells: unknown = JSON.parse(run.stdout)
  return systems.flatMap((system) => {
    const shell = at(shells, system, "default")
    const packages = at(shell, "packages")
    const missing = tools.filter((tool) => !(Array.isArray(packages) && packages.includes(tool)))
    const browser = system.endsWith("-linux") && at(shell, "CHROMIUM_PATH") === undefined ? ["CHROMIUM_PATH"] : []
    return [...missing, ...browser].map((what) => `flake.nix: the shell for ${system} has no ${what}`)
  })
}

export const problems = (root: string): ReadonlyArray<string> => {
  const file = (name: string) => path.join(root, name)
  return [
    ...lockProblems(fs.readFileSync(file("flake.nix"), "utf8"), fs.readFileSync(file("flake.lock"), "utf8")),
    ...shellProblems(file("flake.nix"), file("scripts/Flake/nixpkgs.nix"))
  ]
}
