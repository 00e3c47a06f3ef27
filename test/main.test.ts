/** A server that lacks a layer does not compile, and the error names what is missing. */
import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { afterAll } from "vitest"
import { chain, child, type Node, nodeOf, parse, walk } from "../scripts/Architecture/Source.ts"

const root = path.join(import.meta.dirname, "..")
const text = fs.readFileSync(path.join(root, "src/main.ts"), "utf8")

/** Layers that provide no service to others, so that types do not require them; they have their own tests. */
const actors = [
  "Server.serve(Routes.layer)",
  "Checks.layer",
  "ConfiguredStorage.layerLog",
  "Configuration.layerWarnings",
  "DataDirectory.layer",
  "Telemetry.layer",
  "Settings.layerEnvironment"
]

const source = (node: Node) => text.slice(node.start, node.end)

/** Each layer passed to `Layer.provide` and `Layer.provideMerge`, and the program without it. */
const variants = [...walk(parse("src/main.ts", text).root)].flatMap(([call]) => {
  const name = chain(child(call, "callee")).join(".")
  const given = call.fields.arguments
  if (call.type !== "CallExpression" || !/^Layer\.provide(Merge)?$/.test(name) || !Array.isArray(given)) return []
  return given.flatMap((value: unknown) => {
    const argument = nodeOf(value)
    const elements = argument?.type === "ArrayExpression" ? argument.fields.elements : [value]
    return (Array.isArray(elements) ? elements : []).flatMap((element: unknown) => {
      const layer = nodeOf(element)
      if (layer === undefined) return []
      const without = `${text.slice(0, layer.start)}Layer.empty${text.slice(layer.end)}`
      return [{ layer: source(layer), without }]
    })
  })
})

const folder = path.join(root, ".cache", `main-test-${process.pid}`)
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }))

/** The compiler's errors for every variant by its index; the unchanged program is last. */
const compile = (): ReadonlyArray<string> => {
  fs.mkdirSync(folder, { recursive: true })
  const programs = [...variants.map(({ without }) => without), text]
  for (const [index, program] of programs.entries()) {
    fs.writeFileSync(path.join(folder, `Variant${index}.ts`), program.replaceAll(' "./', ' "../../src/'))
  }
  // An unused import would be an error too, but not the expected one.
  const options = { incremental: false, noUnusedLocals: false }
  const config = { extends: "../../tsconfig.json", compilerOptions: options, include: ["./*.ts"] }
  fs.writeFileSync(path.join(folder, "tsconfig.json"), JSON.stringify(config))
  const run = spawnSync(path.join(root, "node_modules/.bin/tsc"), ["--project", folder, "--pretty", "false"], {
    cwd: folder,
    encoding: "utf8"
  })
  const messages = run.stdout.split(/\n(?=\S)/)
  return programs.map((_, index) => messages.filter((each) => each.startsWith(`Variant${index}.ts(`)).join("\n"))
}

describe("main", () => {
  it("does not compile without any one of its layers", () => {
    const errors = compile()
    assert.isAbove(variants.length, 5)
    assert.strictEqual(errors.at(-1), "", "main.ts itself compiles")
    const outcomes = variants.map(({ layer }, index) => ({
      layer,
      named: /Type '[^']+' is not assignable to type 'never'/.test(errors[index] ?? "")
    }))
    assert.deepStrictEqual(
      outcomes.filter(({ named }) => !named).map(({ layer }) => layer),
      actors
    )
  })
})
