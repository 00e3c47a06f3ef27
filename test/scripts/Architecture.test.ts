/** Every rule of the architecture check rejects a bad case and accepts a good one. */
import { assert, describe, it } from "@effect/vitest"
import { rules } from "../../scripts/Architecture.ts"
import { type Case, file, found, lines, suite } from "../support/RuleCases.ts"

const escape = (code: string) => ({ "src/A.ts": file(code) })

const cases: ReadonlyArray<Case> = [
  {
    rule: "no-index",
    promise: "refuses a file called index",
    bad: { "test/support/index.ts": file("") },
    where: "test/support/index.ts:1",
    good: { "test/support/Server.ts": file("") }
  },
  {
    rule: "domain-folders",
    promise: "refuses technical folders",
    bad: { "src/utils/Text.ts": file("export const Text = 1") },
    where: "src/utils/Text.ts:1",
    good: { "src/Text/Line.ts": file("export const Line = 1") }
  },
  {
    rule: "depth",
    promise: "refuses a fourth level of folders",
    bad: { "src/A/B/C/D.ts": file("export const D = 1") },
    where: "src/A/B/C/D.ts:1",
    good: {
      "src/A/B/C.ts": file("export const C = 1"),
      "src/Web/Page/Play/C.tsx": file("export const C = <p />")
    }
  },
  {
    rule: "depth",
    promise: "refuses folders in folders of the page",
    bad: { "src/Web/Page/A/B/C.ts": file("export const C = 1") },
    where: "src/Web/Page/A/B/C.ts:1",
    good: { "src/Web/Page/A/C.ts": file("export const C = 1") }
  },
  {
    rule: "walkable",
    promise: "refuses a public function that is an arrow in a constant",
    bad: { "src/A.ts": file("export const a = (b: number) => b") },
    where: "src/A.ts:2",
    good: {
      "src/A.ts": file("export function a(b: number) { return b }\nconst c = () => 1\nexport const d: Each = () => 1")
    }
  },
  {
    rule: "file-name",
    promise: "allows any exports in files of the page, but no lower-case file name",
    bad: { "src/Web/Page/words.ts": file("export const clock = 1") },
    where: "src/Web/Page/words.ts:1",
    good: {
      "src/Web/Page/Words.ts": file("export const clock = 1"),
      "src/Web/Page/App.tsx": file('import { clock } from "./Words.ts"\nexport const App = () => <p>{clock}</p>')
    }
  },
  {
    rule: "no-escape",
    promise: "allows promises and timers in the page, but no type assertions",
    bad: { "src/Web/Page/App.tsx": file("export const App = () => <p>{text as string}</p>") },
    where: "src/Web/Page/App.tsx:2",
    good: {
      "src/Web/Page/Pause.ts": file("export const pause = async () => { await new Promise((r) => setTimeout(r, 1)) }")
    }
  },
  {
    rule: "file-name",
    promise: "refuses a file that is imported by a name other than the file's",
    bad: { "src/A.ts": file("export const make = 1"), "src/B.ts": file('import { make } from "./A.ts"') },
    where: "src/A.ts:1",
    good: {
      "src/A.ts": file("export const make = 1"),
      "src/B.ts": file('import * as A from "./A.ts"\nimport type { T } from "./A.ts"'),
      "src/C.ts": file("export class C {}\nexport const other = 1"),
      "src/D.ts": file('import { C, other } from "./C.ts"\nimport { launch } from "./Launch.ts"'),
      "src/Server/Launch.ts": file("export const launch = 1")
    }
  },
  {
    rule: "file-name",
    promise: "refuses a name in lower case",
    bad: { "src/storage.ts": file("export const storage = 1") },
    where: "src/storage.ts:1",
    good: { "src/Storage.ts": file("export const Storage = 1"), "src/main.ts": file("") }
  },
  {
    rule: "page-alone",
    promise: "refuses an import of the server's code in the page",
    bad: {
      "src/Web/Page/B.ts": file('import { x } from "../../Audio.ts"'),
      "src/Audio.ts": file("export const x = 1")
    },
    where: "src/Web/Page/B.ts:2",
    good: {
      "src/Web/Page/B.ts": file('import * as WavReader from "../../WavReader.ts"\nimport { c } from "./C.ts"'),
      "src/Web/Page/C.ts": file("export const c = 1"),
      "src/WavReader.ts": file("export const read = 1")
    }
  },
  {
    rule: "page-alone",
    promise: "refuses any import in files that the page shares with the server",
    bad: { "src/WavReader.ts": file('import type { Effect } from "effect"') },
    where: "src/WavReader.ts:2",
    good: { "src/WavReader.ts": file("export const read = 1") }
  },
  {
    rule: "page-alone",
    promise: "refuses imports in the client, but those of its own parts",
    bad: {
      "src/Client/Sender.ts": file('import { x } from "../Audio.ts"'),
      "src/Audio.ts": file("export const x = 1")
    },
    where: "src/Client/Sender.ts:2",
    good: {
      "src/Client.ts": file('export { Sender } from "./Client/Sender.ts"'),
      "src/Client/Sender.ts": file("export class Sender {}"),
      "test/Client/Sender.test.ts": file('import { Sender } from "../../src/Client.ts"\nimport "./support/Sender.ts"'),
      "src/Web/Page/A.ts": file('import { Sender } from "../../Client.ts"\nnew Sender()')
    }
  },
  {
    rule: "no-escape",
    promise: "allows promises and timers in the client, but no type assertions",
    bad: { "src/Client/Sender.ts": file("export const Sender = text as string") },
    where: "src/Client/Sender.ts:2",
    good: {
      "src/Client/Sender.ts": file("export const Sender = async () => { await new Promise((r) => setTimeout(r, 1)) }")
    }
  },
  {
    rule: "file-length",
    promise: "refuses 401 lines of code, without counting comments and blank lines",
    bad: { "src/A.ts": file(lines(401)) },
    where: "src/A.ts:1",
    good: { "src/A.ts": file(`${lines(400)}\n\n// more\n/*\n\n*/`) }
  },
  {
    rule: "header",
    promise: "refuses a file without a header",
    bad: { "src/A.ts": "export const A = 1\n/** Late. */" },
    where: "src/A.ts:1",
    good: { "src/A.ts": file("export const A = 1"), "scripts/a.mjs": `#!/usr/bin/env node\n${file("")}` }
  },
  {
    rule: "one-service",
    promise: "refuses a second service tag in a file",
    bad: {
      "src/A.ts": file(
        'export class A extends Context.Service<A, {}>()("A") {}\nexport class B extends Context.Service<B>()("B", {}) {}'
      )
    },
    where: "src/A.ts:3",
    good: {
      "src/A.ts": file(
        'export class A extends Context.Service<A, {}>()("A") {}\nexport class B extends Other.Service<B>() {}'
      )
    }
  },
  {
    rule: "main",
    promise: "refuses branches in main",
    bad: { "src/main.ts": file("if (1) run()") },
    where: "src/main.ts:2",
    good: { "src/main.ts": file('const text = "if (x) a ? b : c"\nrun() // if') }
  },
  {
    rule: "main",
    promise: "refuses a main of more than 45 lines",
    bad: { "src/main.ts": file(lines(45)) },
    where: "src/main.ts:1",
    good: { "src/main.ts": file(lines(44)) }
  },
  {
    rule: "mirror",
    promise: "refuses a test whose name mirrors no file and whose header names no subject",
    bad: { "src/A/B.ts": file("export const B = 1"), "test/A/Thing.test.ts": "/** Things of `src/A/Gone.ts`. */\n" },
    where: "test/A/Thing.test.ts:1",
    good: {
      "test/A.test.ts": file(""),
      "test/A/B.test.ts": file(""),
      "test/A/Crash.test.ts": "/** `src/A` after a kill. */\n",
      "test/scripts/Docs.test.ts": file(""),
      "scripts/Docs.ts": file(""),
      "src/A.ts": file("export const A = 1"),
      "src/A/B.ts": file("export const B = 1")
    }
  },
  {
    rule: "source-only",
    promise: "refuses tests and scripts in src",
    bad: { "src/A.ts": file('import "../test/A.ts"'), "test/A.ts": file("") },
    where: "src/A.ts:2",
    good: { "src/A.ts": file('import "effect"'), "test/A.ts": file('import "../src/A.ts"') }
  },
  {
    rule: "faces-only",
    promise: "refuses imports of another module's parts, types and dynamic imports included",
    bad: { "src/A/B.ts": file('import type { D } from "../C/D.ts"'), "src/C/D.ts": file("export type D = 1") },
    where: "src/A/B.ts:2",
    good: {
      "src/A/B.ts": file('import type { C } from "../C.ts"\nimport type { E } from "./E.ts"'),
      "src/main.ts": file('import "./C/D.ts"'),
      "test/A.ts": file('import "../src/C/D.ts"')
    }
  },
  {
    rule: "faces-only",
    promise: "refuses a dynamic import of another module's part",
    bad: { "src/A.ts": file('const d = import("./C/D.ts")') },
    where: "src/A.ts:2",
    good: { "src/A.ts": file('const d = import("./C.ts")\nconst text = `import("./C/D.ts")`') }
  },
  {
    rule: "edges-outside",
    promise: "refuses a face that imports its edge, and adapters outside the composition",
    bad: { "src/Storage.ts": file('export * as GcsStorage from "./Storage/GcsStorage.ts"') },
    where: "src/Storage.ts:2",
    good: {
      "src/Storage.ts": file('import * as Rules from "./Storage/Rules.ts"'),
      "src/Bulkhead.ts": file('import * as NodeBulkhead from "./Bulkhead/NodeBulkhead.ts"'),
      "src/Storage/Gcs/GcsStorage.ts": file('import { Storage } from "../Storage.ts"'),
      "src/main.ts": file('import "./Storage/GcsStorage.ts"\nimport "./Deletion/Janitor.ts"')
    }
  },
  {
    rule: "edges-outside",
    promise: "treats a file that imports an edge as an edge",
    bad: {
      "src/Db.ts": file('import * as Database from "./Db/Database.ts"'),
      "src/Db/Database.ts": file('import * as PgDb from "./PgDb.ts"'),
      "src/Db/PgDb.ts": file("export const layer = 1")
    },
    where: "src/Db.ts:2",
    good: {
      "src/Db/Database.ts": file('import * as PgDb from "./PgDb.ts"'),
      "src/Db/PgDb.ts": file('import { Db } from "../Db.ts"'),
      "src/main.ts": file('import * as Database from "./Db/Database.ts"')
    }
  },
  {
    rule: "composition-last",
    promise: "refuses a module that imports the composition",
    bad: { "src/A.ts": file('import { groups } from "./Server/Configuration.ts"') },
    where: "src/A.ts:2",
    good: { "src/Cli.ts": file('import { groups } from "./Server/Configuration.ts"') }
  },
  {
    rule: "no-file-cycle",
    promise: "refuses files that import each other",
    bad: {
      "src/A/B.ts": file('import { C } from "./C.ts"\nexport const B = 1'),
      "src/A/C.ts": file('import { B } from "./B.ts"\nexport const C = 1')
    },
    where: "src/A/B.ts:1",
    good: {
      "src/A/B.ts": file('import { C } from "./C.ts"\nexport const B = 1'),
      "src/A/C.ts": file('import type { B } from "./B.ts"\nexport const C = 1')
    }
  },
  {
    rule: "no-module-cycle",
    promise: "refuses modules that depend on each other, even for a type",
    bad: {
      "src/A.ts": file('import { B } from "./B.ts"\nexport const A = 1'),
      "src/B.ts": file("export const B = 1"),
      "src/B/Part.ts": file('import type { A } from "../A.ts"\nexport const Part = 1')
    },
    where: "src/A.ts:1",
    good: {
      "src/A.ts": file('import { B } from "./B.ts"\nexport const A = 1'),
      "src/B.ts": file("export const B = 1"),
      "src/B/Http.ts": file('import type { A } from "../A.ts"\nexport const Http = 1')
    }
  },
  {
    rule: "parses",
    promise: "refuses a file that does not parse",
    bad: escape("const = 1"),
    where: "src/A.ts:1",
    good: escape("const a = 1")
  },
  {
    rule: "finished",
    promise: "refuses comments that mark unfinished work or switch a check off",
    bad: { "test/support/A.ts": file("// TODO later") },
    where: "test/support/A.ts:2",
    good: { "test/support/A.ts": file('const text = "// TODO later"') }
  },
  {
    rule: "finished",
    promise: "refuses a suppressed type error",
    bad: escape("// @ts-expect-error it works\nconst a: string = 1"),
    where: "src/A.ts:2",
    good: escape('const a = "@ts-expect-error"')
  },
  {
    rule: "nothing-skipped",
    promise: "refuses tests that are skipped, and tests that exclude others",
    bad: { "test/support/A.ts": file('it.effect.skip("x", () => {})') },
    where: "test/support/A.ts:2",
    good: { "test/support/A.ts": file('it.effect("x", () => Stream.skip(1).only)') }
  }
]

const escapes: ReadonlyArray<readonly [what: string, code: string]> = [
  ["any", "const a: any = 1"],
  ["as", "const a = b as string"],
  ["<type>", "const a = <string>b"],
  ["!", "const a = b!.c"],
  ["!:", "class A { b!: string }"],
  ["async", "const a = async () => 1"],
  ["async", "async function a() {}"],
  ["await", "const a = await b"],
  ["for await", "for await (const a of b) c()"],
  ["try", "try { a() } catch {}"],
  ["new Promise", "const a = new Promise(b)"],
  ["new Date", "const a = new Date()"],
  ["Date.now", "const a = Date.now()"],
  ["Date.now", "const a = { clock: Date.now }"],
  ["setTimeout", "setTimeout(a, 1)"],
  ["setInterval", "setInterval(a, 1)"],
  ["fetch", "const a = fetch(b)"],
  ["Math.random", "const a = Math.random()"],
  ["console.log", "console.log(1)"],
  ["console.log", 'globalThis["console"].log(1)'],
  ["process.env", "const a = process.env.HOME"]
]

const harmless = `
const a = { ok: true } as const
const b = "x as any, await, console.log, process.env, Date.now()"
const c = \`try { \${b} } catch {} new Promise\`
// await, any, as, try, console.log
import * as Name from "effect"
import { Date as Other } from "effect"
const d = new Date(0)
const e = Other.console.log(1)
const f = !a && a !== b
const g = Effect.try({ try: () => 1, catch: () => 2 })
const h = service.setTimeout(1)
`

suite("Rules", cases)

describe("Architecture", () => {
  it.each(escapes)("no-escape: rejects `%s` in src without a reason: %s", (what, code) => {
    const hits = (text: string) => found(escape(text)).filter((line) => line.includes("[no-escape]"))
    assert.lengthOf(hits(code), 1)
    assert.include(hits(code)[0], `src/A.ts:2 [no-escape] \`${what}\``)
    assert.lengthOf(hits(`// edge: the library wants it\n// as it is\n${code}`), 0)
    assert.lengthOf(hits(`${code} // edge: the library wants it`), 0)
    assert.lengthOf(hits(`// edge:\n${code}`), 1)
    assert.lengthOf(hits(`// edge: for another line\nconst z = 1\n\n${code}`), 1)
    assert.lengthOf(hits(`const z = "// edge: no comment"\n${code}`), 1)
    assert.deepStrictEqual(found({ "test/support/A.ts": file(code) }), [])
  })

  it("no-escape: applies a reason to its own statement, and not to the block below", () => {
    const code = "// edge: the callback is the library's\non(() => {\n  const a = 1\n  const b = a as string\n})"
    assert.lengthOf(found(escape(code)), 1)
    assert.lengthOf(found(escape("// edge: untyped\nconst a =\n  b as string")), 0)
  })

  it("no-escape: ignores strings, comments and names", () => {
    assert.deepStrictEqual(found(escape(harmless)), [])
  })

  it("has a failing case for every rule", () => {
    const elsewhere = [
      "no-escape",
      "caller",
      "folder-size",
      "prefixes",
      "one-importer",
      "vocabulary",
      "prose",
      "titles",
      "comments",
      "metric-name"
    ]
    const seen = new Set([...cases.map(({ rule }) => rule), ...elsewhere])
    assert.deepStrictEqual(
      rules.map(({ name }) => name).filter((name) => !seen.has(name)),
      []
    )
  })
})
