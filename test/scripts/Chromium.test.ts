/** scripts/Chromium.ts with a stand-in for npm, whose package holds a small script in place of the browser. */
import { assert, beforeEach, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { brotliCompressSync } from "node:zlib"
import { onTestFinished, vi } from "vitest"
import { install } from "../../scripts/Chromium.ts"
import { testFolder } from "../support/TestFolder.ts"

const browser =
  '#!/bin/sh\necho "$1 $(cat "$LD_LIBRARY_PATH/libnss3.so") $(grep -o "relative[^<]*" "$FONTCONFIG_FILE")"\n'

const npm = `
const [pack, spec, , directory] = process.argv.slice(2)
if (pack !== "pack" || spec !== "browser@1.2.3") throw new Error("npm error code E404")
require("fs").copyFileSync(__dirname + "/browser.tgz", directory + "/browser-1.2.3.tgz")
`

let root: string
const target = () => path.join(root, "with space/chromium")

/** Returns the archive's integrity. */
const packageWith = (program: string) => {
  const bin = path.join(root, "package/bin")
  fs.mkdirSync(path.join(root, "lib"))
  fs.mkdirSync(bin, { recursive: true })
  fs.writeFileSync(path.join(root, "lib/libnss3.so"), "libraries")
  const { stdout } = spawnSync("tar", ["-c", "-C", root, "lib"])
  for (const name of ["al2023", "fonts", "swiftshader"]) {
    fs.writeFileSync(path.join(bin, `${name}.tar.br`), brotliCompressSync(stdout))
  }
  fs.writeFileSync(path.join(bin, "chromium.br"), brotliCompressSync(program))
  spawnSync("tar", ["-czf", path.join(root, "browser.tgz"), "-C", root, "package"])
  const bytes = fs.readFileSync(path.join(root, "browser.tgz"))
  return `sha512-${createHash("sha512").update(bytes).digest("base64")}`
}

const installed = (integrity: string) => install(target(), { name: "browser", version: "1.2.3", integrity })

const failure = async (attempt: Promise<void>) => {
  const message = await attempt.then(
    () => "none",
    (cause: Error) => cause.message
  )
  assert.deepStrictEqual(fs.readdirSync(path.dirname(target())), [])
  return message
}

describe("Chromium", () => {
  beforeEach(() => {
    root = testFolder()
    fs.writeFileSync(path.join(root, "npm.cjs"), npm)
    vi.stubEnv("npm_execpath", path.join(root, "npm.cjs"))
    vi.stubEnv("npm_node_execpath", process.execPath)
    onTestFinished(() => void vi.unstubAllEnvs())
  })

  it("starts with the libraries and fonts of its package, from any folder and through a link", async () => {
    await installed(packageWith(browser))
    fs.symlinkSync(path.join(target(), "run"), path.join(root, "link"))
    const { stderr, stdout } = spawnSync(path.join(root, "link"), ["page"], { encoding: "utf8" })
    assert.strictEqual(stdout, 'page libraries relative">fonts\n', stderr)
    assert.deepStrictEqual(fs.readdirSync(path.dirname(target())), ["chromium"])
  })

  it("keeps the browser of another run that was faster", async () => {
    const integrity = packageWith(browser)
    await installed(integrity)
    await installed(integrity)
    assert.deepStrictEqual(fs.readdirSync(path.dirname(target())), ["chromium"])
  })

  it("leaves nothing of a package with other content", async () => {
    packageWith(browser)
    assert.match(await failure(installed("sha512-other")), /integrity is sha512-.*, not sha512-other/)
  })

  it("leaves nothing of a browser that does not run on this system", async () => {
    const integrity = packageWith("#!/bin/sh\necho libfoo.so is missing >&2\nexit 127\n")
    assert.strictEqual(await failure(installed(integrity)), "run failed: libfoo.so is missing")
  })

  it("passes on what npm says when the package can't be fetched", async () => {
    fs.writeFileSync(
      path.join(root, "npm.cjs"),
      'console.error("npm error code E404\\nnpm error A log is in a file"); process.exit(1)'
    )
    assert.match(await failure(installed("any")), /failed: npm error code E404$/)
  })
})
