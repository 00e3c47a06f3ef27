/**
 * Makes sure that the dependencies of package-lock.json are installed, that npm's scripts run on Node 22.19 or newer, and
 * that the page and the server are bundled. Runs on any Node from 18 on, without dependencies. With nothing to do it reads a few files.
 *
 * `ensure.mjs PROGRAM ARGUMENTS` then runs the program in this process, so that a signal finds it in every phase, with its
 * compiled modules cached. Where this Node is too old, it runs in a child.
 */
import { spawn, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as module from "node:module"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"

const OLDEST = [22, 19]
/** Longest time of `npm ci`; an older lock is stale. */
const INSTALL_MS = 10 * 60_000
const POLL_MS = 200
/** Period of the progress lines without a terminal. */
const PROGRESS_MS = 15_000

const root = path.resolve(
  process.env.SPILLWAY_ENSURE_ROOT ?? path.join(path.dirname(fileURLToPath(import.meta.url)), "..")
)
const modules = path.join(root, "node_modules")
const stampFile = path.join(modules, ".spillway-installed")
const lockFile = path.join(root, ".cache", "ensure.lock")
const pinnedNode = path.join(modules, ".bin", "node")
/** V8's compile cache, by Node's version; Node writes it when a process ends. */
const compiled = path.join(root, ".cache", "compile")
const [program, ...programArguments] = process.argv.slice(2)
const server = "src/main.ts"

class Failure extends Error {}

const readText = (file) => {
  try {
    return fs.readFileSync(file, "utf8")
  } catch {
    return undefined
  }
}

const readJson = (file) => {
  try {
    return JSON.parse(fs.readFileSync(file, "utf8"))
  } catch {
    return undefined
  }
}

const recent = (version) => {
  const [major = 0, minor = 0] = version.replace(/^v/, "").split(".").map(Number)
  return major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1])
}

const lockText = () => {
  const text = readText(path.join(root, "package-lock.json"))
  if (text === undefined) throw new Failure(`There is no package-lock.json in ${root}.`)
  return text
}

/** Includes the platform: a node_modules folder copied from another kind of machine does not work. */
const stampOf = (lock) => `${createHash("sha256").update(lock).digest("hex")} ${process.platform}-${process.arch}\n`

const forThisMachine = (entry) =>
  (entry.os === undefined || entry.os.includes(process.platform)) &&
  (entry.cpu === undefined || entry.cpu.includes(process.arch))

/** npm ignores optional packages that can't be fetched. The ones that the lockfile's root names are required here. */
const missingOptional = (lock) =>
  Object.keys(lock.packages?.[""]?.optionalDependencies ?? {}).filter((name) => {
    const entry = lock.packages[`node_modules/${name}`]
    return (
      entry !== undefined &&
      forThisMachine(entry) &&
      !fs.existsSync(path.join(modules, ...name.split("/"), "package.json"))
    )
  })

/** npm writes this file last, so it lists the result of a complete `npm install` or `npm ci`. */
const finishedInstall = (lock) => {
  const done = readJson(path.join(modules, ".package-lock.json"))
  if (done === undefined) return false
  const wanted = Object.entries(lock.packages ?? {}).filter(([name]) => name !== "")
  const same = ([name, entry]) => {
    const installed = done.packages?.[name]
    return installed === undefined
      ? entry.optional === true || entry.devOptional === true || entry.peer === true
      : installed.version === entry.version && installed.integrity === entry.integrity
  }
  return wanted.every(same) && missingOptional(lock).length === 0
}

const say = (line) => process.stderr.write(`${line}\n`)

const signals = ["SIGINT", "SIGTERM"]

/** Children to end with this process. */
const working = new Set()

/** A server stopped before it started exits with 0, as it does later; any other program has not done its work. */
const statusOf = (signal) => (program === server && signals.includes(signal) ? 0 : 128 + os.constants.signals[signal])

const interrupted = (signal) => {
  for (const child of working) child.kill(signal)
  release()
  process.exit(statusOf(signal))
}

const endInterruption = () => signals.forEach((signal) => process.removeListener(signal, interrupted))

/** With npm's cache in the clone where the usual one is not writable: the user of a service often has no home. */
const npmEnvironment = () => {
  const { NPM_CONFIG_CACHE, npm_config_cache } = process.env
  const usual = npm_config_cache || NPM_CONFIG_CACHE || path.join(os.homedir(), ".npm")
  try {
    fs.mkdirSync(usual, { recursive: true })
    fs.accessSync(usual, fs.constants.W_OK | fs.constants.X_OK)
    return process.env
  } catch {
    const { NPM_CONFIG_CACHE: _, ...others } = process.env
    return { ...others, npm_config_cache: path.join(root, ".cache", "npm") }
  }
}

const npmCi = () =>
  new Promise((resolve, reject) => {
    const env = npmEnvironment()
    const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    const npm = process.env.npm_execpath
    const direct = npm !== undefined && /\.c?js$/.test(npm)
    const child = direct
      ? spawn(process.env.npm_node_execpath ?? process.execPath, [npm, ...args], {
          cwd: root,
          env,
          stdio: ["ignore", "pipe", "pipe"]
        })
      : spawn("npm", args, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"], shell: process.platform === "win32" })
    const started = Date.now()
    const seconds = () => Math.round((Date.now() - started) / 1000)
    let output = ""
    const keep = (data) => {
      output = (output + data).slice(-64 * 1024)
    }
    child.stdout.on("data", keep)
    child.stderr.on("data", keep)
    say("Installing dependencies (npm ci) …")
    const tty = process.stderr.isTTY === true
    const progress = setInterval(
      () => (tty ? process.stderr.write(`\r  ${seconds()} s`) : say(`  … ${seconds()} s`)),
      tty ? 1000 : PROGRESS_MS
    )
    const deadline = setTimeout(() => child.kill("SIGTERM"), INSTALL_MS)
    working.add(child)
    const settle = () => {
      clearInterval(progress)
      clearTimeout(deadline)
      working.delete(child)
      if (tty) process.stderr.write("\r")
    }
    child.once("error", (cause) => {
      settle()
      reject(new Failure(`npm could not be started (${cause.message}). Install npm, or put it on the path.`))
    })
    child.once("close", (code, signal) => {
      settle()
      if (code === 0) {
        say(`Installed in ${seconds()} s.`)
        resolve()
        return
      }
      process.stderr.write(output)
      const how = signal === null ? `exit code ${code}` : seconds() * 1000 >= INSTALL_MS ? "took too long" : signal
      reject(new Failure(`The dependencies could not be installed: npm ci failed (${how}); its output is above.`))
    })
  })

/**
 * npm 9 removes the link to the Node for this machine together with that of the package for another processor. Where the
 * Node does not run (musl, an old libc), a recent system Node replaces it.
 */
const checkPinnedNode = () => {
  const packaged = path.join(modules, `node-${process.platform}-${process.arch}`, "bin", "node")
  if (fs.existsSync(packaged) && !fs.existsSync(pinnedNode)) {
    fs.mkdirSync(path.dirname(pinnedNode), { recursive: true })
    fs.symlinkSync(path.relative(path.dirname(pinnedNode), packaged), pinnedNode)
  }
  if (!fs.existsSync(pinnedNode)) return
  const run = spawnSync(pinnedNode, ["--version"], { encoding: "utf8", timeout: 30_000 })
  if (run.status === 0 && recent(run.stdout.trim())) return
  fs.rmSync(pinnedNode, { force: true })
}

const checkNode = () => {
  if (fs.existsSync(pinnedNode) || recent(process.version)) return
  throw new Failure(
    `Spillway needs Node ${OLDEST.join(".")} or newer; this is ${process.version}, and there is no Node on npm that runs on this ${process.platform}-${process.arch}. Install a newer one from your package manager or nodejs.org.`
  )
}

const alive = (pid) => {
  try {
    process.kill(pid, 0)
    return true
  } catch (cause) {
    return cause.code === "EPERM"
  }
}

let held = false

const take = () => {
  fs.mkdirSync(path.dirname(lockFile), { recursive: true })
  // Linked into place with its content, so that no process reads a lock without a pid.
  const mine = `${lockFile}.${process.pid}`
  fs.writeFileSync(mine, String(process.pid))
  try {
    fs.linkSync(mine, lockFile)
    held = true
  } catch (cause) {
    if (cause.code !== "EEXIST") throw cause
  } finally {
    fs.rmSync(mine, { force: true })
  }
  return held
}

const release = () => {
  if (held) fs.rmSync(lockFile, { force: true })
  held = false
}

/**
 * Renames the lock before checking it again: of two processes that find it stale one wins, and a fresh lock is
 * restored.
 */
const dropStale = () => {
  const stale = () => {
    const pid = Number(readText(lockFile))
    const age = Date.now() - (fs.statSync(lockFile, { throwIfNoEntry: false })?.mtimeMs ?? Date.now())
    return Number.isInteger(pid) && pid > 0 && (!alive(pid) || age > INSTALL_MS + 60_000) ? pid : undefined
  }
  const pid = stale()
  if (pid === undefined) return
  const aside = `${lockFile}.${process.pid}.stale`
  try {
    fs.renameSync(lockFile, aside)
    if (Number(readText(aside)) !== pid) fs.linkSync(aside, lockFile)
  } catch {
    // Another process was faster; the next attempt decides.
  }
  fs.rmSync(aside, { force: true })
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

const locked = async (body) => {
  let told = false
  while (!take()) {
    if (!told) say("Another npm ci is running here; waiting for it …")
    told = true
    await pause(POLL_MS)
    dropStale()
  }
  try {
    await body()
  } finally {
    release()
  }
}

const install = async () => {
  const lock = lockText()
  const stamp = stampOf(lock)
  if (readText(stampFile) === stamp) return
  const parsed = JSON.parse(lock)
  if (!finishedInstall(parsed)) {
    fs.rmSync(stampFile, { force: true })
    await npmCi()
    const missing = missingOptional(parsed)
    if (missing.length > 0) {
      throw new Failure(
        `npm ci left out ${missing.join(" and ")}: it could not be fetched. Try again when the registry can be reached.`
      )
    }
  }
  checkPinnedNode()
  const temporary = `${stampFile}.${process.pid}`
  fs.writeFileSync(temporary, stamp)
  fs.renameSync(temporary, stampFile)
}

/** What is bundled into a folder of `.cache`, and of which folders and files in `src`. */
const page = { name: "web", script: "Web.ts", sources: ["Web/Page", "Client", "Client.ts", "WavReader.ts"] }
const programs = { name: "server", script: "Bundle.ts", sources: ["."], except: path.join(root, "src", "Web", "Page") }

/** The programs of that bundle. */
const bundled = { [server]: "main.js", "src/Cli.ts": "Cli.js" }

const filesIn = (place, except) => {
  if (!fs.statSync(place).isDirectory()) return [place]
  const names = fs.readdirSync(place, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  const files = names.map((entry) => path.join(entry.parentPath ?? entry.path, entry.name))
  return files.filter((file) => except === undefined || !file.startsWith(except)).sort()
}

/** Hash of the sources, of their place, and of the script that bundles them. */
const bundleStamp = (script, { sources, except }) => {
  const hash = createHash("sha256").update(lockText()).update(fs.readFileSync(script)).update(root)
  for (const file of sources.flatMap((source) => filesIn(path.join(root, "src", source), except))) {
    hash.update(`\n${path.relative(root, file)}\n`).update(fs.readFileSync(file))
  }
  return hash.digest("hex")
}

/** The folder and the stamp of a bundle. */
const currentBundle = (name) => readText(path.join(root, ".cache", name, "current"))?.split("\n") ?? []

/** Bundles in a recent Node. Two processes at once both bundle; the last one wins. */
const bundle = async ({ name, script: file, ...what }) => {
  const script = path.join(root, "scripts", file)
  if (!fs.existsSync(script)) return
  const stamp = bundleStamp(script, what)
  if (currentBundle(name)[1] === stamp) return
  const child = spawn(nodeForProgram(), [script, stamp], { stdio: ["ignore", "ignore", "inherit"] })
  working.add(child)
  const code = await new Promise((resolve) => child.once("error", resolve).once("close", resolve))
  working.delete(child)
  if (code !== 0) throw new Failure("The sources could not be bundled; the reason is above.")
}

/** Its bundle, or itself where there is none. */
const programFile = () => {
  const [folder] = currentBundle(programs.name)
  const file = bundled[program]
  return folder === undefined || file === undefined
    ? path.join(root, program)
    : path.join(root, ".cache", programs.name, folder, file)
}

const nodeForProgram = () => (fs.existsSync(pinnedNode) ? pinnedNode : process.execPath)

const runHere = async () => {
  process.argv.splice(1, 2, path.join(root, program))
  module.enableCompileCache?.(compiled)
  await import(pathToFileURL(programFile()).href)
}

const runElsewhere = (node) =>
  new Promise((resolve, reject) => {
    const child = spawn(node, [...process.execArgv, programFile(), ...programArguments], {
      stdio: "inherit",
      env: { NODE_COMPILE_CACHE: compiled, ...process.env }
    })
    endInterruption()
    for (const signal of signals) process.on(signal, () => child.kill(signal))
    child.once("error", (cause) => reject(new Failure(`${node} could not be started: ${cause.message}`)))
    child.once("close", (code, signal) => {
      process.exitCode = code ?? statusOf(signal)
      resolve()
    })
  })

const run = () => (recent(process.version) ? runHere() : runElsewhere(pinnedNode))

const main = async () => {
  for (const signal of signals) process.on(signal, interrupted)
  if (readText(stampFile) !== stampOf(lockText())) await locked(install)
  checkNode()
  await Promise.all([page, programs].map(bundle))
  if (program !== undefined) await run()
}

main()
  .catch((cause) => {
    say(cause instanceof Failure ? cause.message : (cause?.stack ?? String(cause)))
    process.exitCode = 1
  })
  // From here on only the program's own handlers apply.
  .finally(endInterruption)
