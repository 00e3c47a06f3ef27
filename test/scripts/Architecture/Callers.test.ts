/** Exports that only tests use. */
import { file, suite } from "../../support/RuleCases.ts"

const wide = file("export function wide() {}\nexport function used() {}")

suite("Callers", [
  {
    rule: "caller",
    promise: "refuses an export that only a test imports, and one that only a comment or a path names",
    bad: {
      "src/A/Wide.ts": wide,
      "src/A.ts": file('import { used } from "./A/Wide.ts"\n// wide\nused()'),
      "test/A.test.ts": file('import { wide } from "../src/A/Wide.ts"')
    },
    where: "src/A/Wide.ts:1",
    good: {
      "src/A/Wide.ts": wide,
      "src/A.ts": file('import * as Wide from "./A/Wide.ts"\nWide.wide()\nWide.used()'),
      "src/Storage/MemoryStorage.ts": file("export const layer = 1")
    }
  },
  {
    rule: "caller",
    promise: "refuses a re-export of a face that no other module imports",
    bad: {
      "src/A.ts": file('export { Part } from "./A/Part.ts"'),
      "src/A/Part.ts": file("export class Part {}")
    },
    where: "src/A.ts:1",
    good: {
      "src/A.ts": file('export { Part } from "./A/Part.ts"\nexport * as Name from "./A/Name.ts"'),
      "src/A/Part.ts": file("export class Part {}"),
      "src/A/Name.ts": file("export function parse() {}"),
      "src/B.ts": file(
        'import { Name, type Part } from "./A.ts"\nconst { lazy } = await import("./A/Lazy.ts")\nName.parse(lazy)'
      ),
      "src/A/Lazy.ts": file("export const lazy = 1"),
      "src/Client.ts": file('export type { Published } from "./Client/Published.ts"')
    }
  }
])
