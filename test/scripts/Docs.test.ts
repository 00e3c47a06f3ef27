/** The README's tables say what the code says. */
import { assert, describe, it } from "@effect/vitest"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { onTestFinished } from "vitest"
import { type Group, problems, render, replace } from "../../scripts/Docs.ts"

const setting = {
  env: "SPILLWAY_A",
  doc: "One | two",
  expected: "a size such as `4 MiB`",
  defaultText: "1 MiB",
  secret: false
}
const group: Group = { key: "spillway/Storage/StorageConfig", settings: { a: setting } }

const project = (readme: string, config: string, groups: string) => {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), "spillway-docs-"))
  onTestFinished(() => fs.rmSync(root, { recursive: true, force: true }))
  fs.mkdirSync(path.join(root, "src/Storage"), { recursive: true })
  fs.writeFileSync(path.join(root, "package.json"), '{ "type": "module" }')
  fs.writeFileSync(path.join(root, "README.md"), readme)
  fs.writeFileSync(path.join(root, "src/Storage/StorageConfig.ts"), config)
  fs.writeFileSync(
    path.join(root, "src/Configuration.ts"),
    `import { StorageConfig } from "./Storage/StorageConfig.ts"\nexport const groups = [${groups}]`
  )
  return root
}

const markers = "# Title\n<!-- configuration: written by `npm run docs` -->\nold\n<!-- end of configuration -->\nrest\n"
const config = `export class StorageConfig {
  static key = "spillway/Storage/StorageConfig"
  static settings = { a: ${JSON.stringify(setting)} }
}`

describe("Docs", () => {
  it("writes a table for each module, with defaults and what is expected", () => {
    const secret = { ...setting, env: "SPILLWAY_B", defaultText: undefined, secret: true }
    assert.strictEqual(
      render([group, { key: "spillway/NodeConfig", settings: { b: secret } }]),
      [
        "**Storage**",
        "",
        "| variable | default | accepts | meaning |",
        "| --- | --- | --- | --- |",
        String.raw`| ${"`SPILLWAY_A`"} | ${"`1 MiB`"} | a size | One \| two. |`,
        "",
        "**Node**",
        "",
        "| variable | default | accepts | meaning |",
        "| --- | --- | --- | --- |",
        String.raw`| ${"`SPILLWAY_B`"} | none (a secret) | a size | One \| two. |`
      ].join("\n")
    )
  })

  it("leaves everything outside of the markers as it is", () => {
    const written = replace(markers, "new") ?? ""
    assert.isTrue(written.startsWith("# Title\n"))
    assert.isTrue(written.endsWith("\nrest\n"))
    assert.include(written, "new")
    assert.notInclude(written, "old")
    assert.strictEqual(replace(written, "new"), written)
    assert.isUndefined(replace("no markers", "new"))
  })

  it("finds tables that are not what the code says", async () => {
    const right = replace(markers, render([group])) ?? ""
    assert.deepStrictEqual(await problems(project(right, config, "StorageConfig")), [])
    const [drift] = await problems(project(markers, config, "StorageConfig"))
    assert.include(drift, "run `npm run docs`")
    const [lacking] = await problems(project("# Title", config, "StorageConfig"))
    assert.include(lacking, "lacks the lines")
  })

  it("finds a configuration class that no program reads", async () => {
    const none = replace(markers, render([])) ?? ""
    assert.deepStrictEqual(await problems(project(none, config, "")), [
      "spillway/Storage/StorageConfig is not among the groups of src/Configuration.ts"
    ])
  })

  it("has a table for the command line, whose settings are not the server's", async () => {
    const root = project(replace(markers, render([])) ?? "", config, "")
    fs.mkdirSync(path.join(root, "src/Cli"))
    const cli = { key: "spillway/Cli/CliConfig", settings: { a: setting } }
    fs.rmSync(path.join(root, "src/Storage/StorageConfig.ts"))
    fs.writeFileSync(path.join(root, "src/Configuration.ts"), "export const groups = []")
    fs.writeFileSync(
      path.join(root, "src/Cli/CliConfig.ts"),
      config.replace("class StorageConfig", "class CliConfig").replace("Storage/StorageConfig", "Cli/CliConfig")
    )
    assert.include((await problems(root))[0], "run `npm run docs`")
    fs.writeFileSync(path.join(root, "README.md"), replace(markers, render([cli])) ?? "")
    assert.deepStrictEqual(await problems(root), [])
  })

  it("finds a variable that two settings read", async () => {
    const double = replace(markers, render([group, group])) ?? ""
    assert.deepStrictEqual(await problems(project(double, config, "StorageConfig, StorageConfig")), [
      "SPILLWAY_A is read by two settings"
    ])
  })
})
