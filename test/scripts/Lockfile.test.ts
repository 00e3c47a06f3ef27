/** package-lock.json serves every platform, also those whose packages the registry in use lacks. */
import { assert, describe, it } from "@effect/vitest"
import { complete, type Lock, missing, problems } from "../../scripts/Lockfile.ts"

const lock: Lock = {
  packages: {
    "": {},
    "node_modules/tool": {
      version: "1.0.0",
      dev: true,
      optionalDependencies: {
        "@tool/darwin-arm64": "1.0.0",
        "@tool/linux-x64-musl": "1.0.0",
        "@tool/linux-x64-gnu": "1.0.0",
        "@tool/win32-x64-msvc": "1.0.0",
        helper: "2.0.0"
      }
    },
    "node_modules/@tool/linux-x64-gnu": { version: "1.0.0", os: ["linux"], cpu: ["x64"], libc: ["glibc"] }
  }
}

describe("Lockfile", () => {
  it("finds the platforms that npm left out, and reads their platform from the name", () => {
    const rest = { version: "1.0.0", dev: true, optional: true }
    assert.deepStrictEqual(missing(lock), {
      "node_modules/@tool/darwin-arm64": { ...rest, os: ["darwin"], cpu: ["arm64"] },
      "node_modules/@tool/linux-x64-musl": { ...rest, os: ["linux"], cpu: ["x64"], libc: ["musl"] },
      "node_modules/@tool/win32-x64-msvc": { ...rest, os: ["win32"], cpu: ["x64"] }
    })
  })

  it("has no problems once they are added", () => {
    assert.lengthOf(problems(lock), 3)
    assert.deepStrictEqual(problems(complete(lock)), [])
  })

  it("refuses the address of a registry", () => {
    const named = { packages: { "node_modules/a": { version: "1.0.0", resolved: "https://example.test/a.tgz" } } }
    assert.include(problems(named)[0], "names the registry's host for node_modules/a")
  })

  it("refuses a package's range of Node, which an old npm would leave the package out for", () => {
    const engines = { node: ">=22" }
    const ranged: Lock = { packages: { "": { engines }, "node_modules/a": { version: "1.0.0", engines } } }
    assert.match(problems(ranged).join("\n"), /^package-lock.json restricts the Node of node_modules\/a [^\n]*$/)
    assert.deepStrictEqual(complete(ranged), { packages: { "": { engines }, "node_modules/a": { version: "1.0.0" } } })
  })
})
