/** `npm run bench`: its arguments, and its messages without or with wrong ones. */
import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { testFolder } from "../support/TestFolder.ts"

const main = path.join(import.meta.dirname, "../../bench/main.ts")

/** A folder of benches: two that print their name and arguments, a part of one, and another file. */
const bench = (...args: ReadonlyArray<string>) => {
  const folder = testFolder()
  const write = (name: string, text: string) => fs.writeFileSync(path.join(folder, name), text)
  fs.copyFileSync(main, path.join(folder, "main.ts"))
  write("package.json", '{ "type": "module" }')
  for (const name of ["one", "two"]) {
    write(`${name}.ts`, `export const run = async (args) => console.log("${name}", args.join())`)
  }
  write("Part.ts", "export const part = 1")
  write("wrong.ts", "export const go = 1")
  const { status, stderr, stdout } = spawnSync(process.execPath, [path.join(folder, "main.ts"), ...args], {
    encoding: "utf8"
  })
  return { status, stderr, stdout }
}

describe("bench", () => {
  it("runs the named bench with its arguments", () => {
    assert.deepStrictEqual(bench("one", "--quick"), { status: 0, stderr: "", stdout: "one --quick\n" })
  })

  it("lists the benches when the name is missing or unknown", () => {
    const none = bench()
    assert.strictEqual(none.status, 1)
    assert.include(none.stderr, "one of: one, two, wrong, all")
    assert.include(bench("three").stderr, 'There is no bench "three".')
  })

  it("runs all benches in sequence, and names a file that is no bench", () => {
    const { status, stderr, stdout } = bench("all", "--quick")
    assert.strictEqual(stdout, "\n== one\none --quick\n\n== two\ntwo --quick\n")
    assert.include(stderr, "bench/wrong.ts does not export a function `run`.")
    assert.strictEqual(status, 1)
  })
})
