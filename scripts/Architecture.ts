/** The architecture check: applies every rule to the project's sources. Each rule has a test that sees it fail. */
import * as fs from "node:fs"
import * as path from "node:path"
import * as Callers from "./Architecture/Callers.ts"
import * as Folders from "./Architecture/Folders.ts"
import * as Imports from "./Architecture/Imports.ts"
import * as Layout from "./Architecture/Layout.ts"
import * as Metrics from "./Architecture/Metrics.ts"
import { parse, type Source } from "./Architecture/Source.ts"
import * as Syntax from "./Architecture/Syntax.ts"
import * as Words from "./Architecture/Words.ts"

const folders = ["src", "test", "scripts", "bench"]

export const rules = [
  ...Layout.rules,
  ...Folders.rules,
  ...Callers.rules,
  ...Imports.rules,
  ...Metrics.rules,
  ...Syntax.rules,
  ...Words.rules
]

/** Every TypeScript file of the project, by its path from the root. */
export const sources = (root: string): ReadonlyMap<string, Source> =>
  new Map(
    folders
      .filter((folder) => fs.existsSync(path.join(root, folder)))
      .flatMap((folder) =>
        fs
          .readdirSync(path.join(root, folder), { recursive: true, encoding: "utf8" })
          .map((file) => `${folder}/${file}`)
      )
      .filter((file) => /\.m?tsx?$/.test(file) || file.endsWith(".mjs"))
      .toSorted()
      .map((file) => [file, parse(file, fs.readFileSync(path.join(root, file), "utf8"))] as const)
  )

/** Violations, one line each. */
export const problems = (all: ReadonlyMap<string, Source>): ReadonlyArray<string> =>
  [...all.values()].flatMap((source) =>
    rules.flatMap((rule) =>
      rule.check(source, all).map(({ line, message, path: file }) => `${file}:${line} [${rule.name}] ${message}`)
    )
  )
