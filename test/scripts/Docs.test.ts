/** The documents match the code, stay short, and refer to what exists. */
import { assert, describe, it } from "@effect/vitest"
import * as fs from "node:fs"
import * as path from "node:path"
import { problems } from "../../scripts/Docs.ts"
import { problems as configurationProblems, type Group, render, replace } from "../../scripts/Docs/Configuration.ts"
import * as Limits from "../../scripts/Docs/Limits.ts"
import * as References from "../../scripts/Docs/References.ts"
import { testFolder } from "../support/TestFolder.ts"

const setting = {
  env: "SPILLWAY_A",
  doc: "One | two",
  expected: "a size such as `4 MiB`",
  defaultText: "1 MiB",
  secret: false
}
const group: Group = { key: "spillway/Storage/StorageConfig", settings: { a: setting } }

const project = (document: string, config: string, groups: string) => {
  const root = testFolder()
  fs.mkdirSync(path.join(root, "src/Storage"), { recursive: true })
  fs.mkdirSync(path.join(root, "src/Server"))
  fs.mkdirSync(path.join(root, "docs"))
  fs.writeFileSync(path.join(root, "package.json"), '{ "type": "module", "scripts": { "docs": "" } }')
  fs.writeFileSync(path.join(root, "docs/configuration.md"), document)
  fs.writeFileSync(path.join(root, "src/Storage/StorageConfig.ts"), config)
  fs.writeFileSync(
    path.join(root, "src/Server/Configuration.ts"),
    `import { StorageConfig } from "../Storage/StorageConfig.ts"\nexport const groups = [${groups}]`
  )
  return root
}

const markers = "# Title\n<!-- configuration: written by `npm run docs` -->\nold\n<!-- end of configuration -->\nrest\n"
const config = `export class StorageConfig {
  static key = "spillway/Storage/StorageConfig"
  static settings = { a: ${JSON.stringify(setting)} }
}`

describe("Configuration", () => {
  it("writes a table for each module, with defaults and what is expected", () => {
    const secret = { ...setting, env: "SPILLWAY_B", defaultText: undefined, secret: true }
    assert.strictEqual(
      render([group, { key: "spillway/NodeConfig", settings: { b: secret } }]),
      [
        "## Storage",
        "",
        "| variable | default | accepts | meaning |",
        "| --- | --- | --- | --- |",
        String.raw`| ${"`SPILLWAY_A`"} | ${"`1 MiB`"} | a size | One \| two. |`,
        "",
        "## Node",
        "",
        "| variable | default | accepts | meaning |",
        "| --- | --- | --- | --- |",
        String.raw`| ${"`SPILLWAY_B`"} | none (a secret) | a size | One \| two. |`
      ].join("\n")
    )
  })

  it("keeps everything outside the markers", () => {
    const written = replace(markers, "new") ?? ""
    assert.isTrue(written.startsWith("# Title\n"))
    assert.isTrue(written.endsWith("\nrest\n"))
    assert.include(written, "new")
    assert.notInclude(written, "old")
    assert.strictEqual(replace(written, "new"), written)
    assert.isUndefined(replace("no markers", "new"))
  })

  it("finds tables that differ from the code", async () => {
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
      "spillway/Storage/StorageConfig is not among the groups of src/Server/Configuration.ts"
    ])
  })

  it("writes a table of the command line's own settings", async () => {
    const root = project(replace(markers, render([])) ?? "", config, "")
    fs.mkdirSync(path.join(root, "src/Cli"))
    const cli = { key: "spillway/Cli/CliConfig", settings: { a: setting } }
    fs.rmSync(path.join(root, "src/Storage/StorageConfig.ts"))
    fs.writeFileSync(path.join(root, "src/Server/Configuration.ts"), "export const groups = []")
    fs.writeFileSync(
      path.join(root, "src/Cli/CliConfig.ts"),
      config.replace("class StorageConfig", "class CliConfig").replace("Storage/StorageConfig", "Cli/CliConfig")
    )
    assert.include((await problems(root))[0], "run `npm run docs`")
    fs.writeFileSync(path.join(root, "docs/configuration.md"), replace(markers, render([cli])) ?? "")
    assert.deepStrictEqual(await problems(root), [])
  })

  it("shows no constants", () => {
    const fixed = { ...setting, env: "SPILLWAY_FIXED", constant: true }
    assert.strictEqual(render([{ ...group, settings: { a: setting, fixed } }]), render([group]))
    assert.strictEqual(render([{ ...group, settings: { fixed } }]), "")
  })

  it("refuses more than 50 settings, without counting constants", () => {
    const of = (count: number, constant: boolean): Group => ({
      key: "spillway/Storage/StorageConfig",
      settings: Object.fromEntries(
        Array.from({ length: count }, (_, at) => [
          `s${at}`,
          { ...setting, constant, env: `SPILLWAY_${constant}_${at}` }
        ])
      )
    })
    const found = (...groups: ReadonlyArray<Group>) =>
      configurationProblems({ groups, unused: [] }, replace(markers, render(groups)))
    assert.deepStrictEqual(found(of(50, false), of(10, true)), [])
    assert.deepStrictEqual(found(of(51, false)), ["there are 51 settings, and at most 50 are allowed"])
  })

  it("finds a variable that two settings read", async () => {
    const double = replace(markers, render([group, group])) ?? ""
    assert.deepStrictEqual(await problems(project(double, config, "StorageConfig, StorageConfig")), [
      "SPILLWAY_A is read by two settings"
    ])
  })
})

describe("Limits", () => {
  const found = (file: string, text: string) => Limits.problems(new Map([[file, text]]))

  it("refuses a README of more than 6144 bytes", () => {
    assert.deepStrictEqual(found("README.md", "x".repeat(6_144)), [])
    assert.lengthOf(found("README.md", "x".repeat(6_145)), 1)
    assert.lengthOf(found("README.md", "é".repeat(3_073)), 1)
    assert.deepStrictEqual(found("docs/http.md", "x".repeat(100_000)), [])
  })

  it("refuses an AGENTS.md of more than 60 lines", () => {
    assert.deepStrictEqual(found("AGENTS.md", "x\n".repeat(60)), [])
    assert.lengthOf(found("AGENTS.md", "x\n".repeat(61)), 1)
  })

  it("refuses a decision of more than eight lines, or with a line of more than 120 characters", () => {
    const decision = (number: number, lines: number) =>
      [`${number}. **Chosen.**`, ...Array.from({ length: lines - 1 }, () => "    Why.")].join("\n")
    const all = ["# Decisions", decision(1, 8), "", "## Group", "", decision(2, 8), decision(12, 3), ""]
    assert.deepStrictEqual(found("DECISIONS.md", all.join("\n")), [])
    assert.deepStrictEqual(found("DECISIONS.md", [...all, decision(13, 9), "", "## End"].join("\n")), [
      "DECISIONS.md: decision 13 has 9 lines, and at most 8 are allowed"
    ])
    assert.deepStrictEqual(found("DECISIONS.md", `1. ${"x".repeat(118)}`), [
      "DECISIONS.md: decision 1 has a line of more than 120 characters"
    ])
  })

  it("refuses a decision whose number is taken or out of order", () => {
    assert.lengthOf(found("DECISIONS.md", "1. One.\n2. Two.\n2. Three.\n"), 1)
    assert.lengthOf(found("DECISIONS.md", "2. Two.\n1. One.\n"), 1)
  })
})

describe("References", () => {
  const existing = ["README.md", "docs/http.md", "docs/page.png", "src/Storage.ts", "src/Storage/"]
  const found = (text: string, file = "docs/http.md") =>
    References.problems(new Map([[file, text]]), {
      exists: (name) => existing.includes(name),
      scripts: ["spillway"],
      settings: ["SPILLWAY_PORT"],
      metrics: new Set(["spillway_db_operation_seconds"])
    })

  it("refuses a link to a file or a heading that does not exist", () => {
    const good =
      "# Keys, and `scopes`\n[a](../README.md) ![b](page.png) [c](#keys-and-scopes) [d](https://example.org/x)"
    assert.deepStrictEqual(found(good), [])
    assert.deepStrictEqual(found("[a](page.png)", "README.md"), ["README.md links to page.png, which does not exist"])
    assert.deepStrictEqual(found("# Keys\n[a](#key)"), ["docs/http.md links to #key, which is no heading there"])
  })

  it("ignores links in code", () => {
    assert.deepStrictEqual(found("```js\nf[0](x)\n# Keys\n```\n`a[0](y)`"), [])
    assert.lengthOf(found("```\n# Keys\n```\n[a](#keys)"), 1)
  })

  it("refuses a path that does not exist", () => {
    assert.deepStrictEqual(found("`src/Storage.ts`, `src/Storage/`, `src/X/Http.ts`, `test/**`"), [])
    assert.deepStrictEqual(found("`src/Store.ts`"), ["docs/http.md names the path src/Store.ts, which does not exist"])
  })

  it("refuses a script, a setting and a metric that do not exist", () => {
    const good = "npm run -s spillway SPILLWAY_PORT `spillway_db_operation_seconds_bucket`"
    assert.deepStrictEqual(found(good), [])
    assert.lengthOf(found("npm run serve"), 1)
    assert.lengthOf(found("SPILLWAY_PORTS"), 1)
    assert.lengthOf(found("`spillway_db_seconds`"), 1)
  })

  it("lets the change log name removed settings", () => {
    assert.deepStrictEqual(found("SPILLWAY_GONE", "CHANGELOG.md"), [])
    assert.lengthOf(found("[a](gone.md)", "CHANGELOG.md"), 1)
  })
})
