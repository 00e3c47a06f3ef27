/** The documents: `npm run docs` writes the configuration tables, `npm run check -- docs` reports what is wrong. */
import * as fs from "node:fs"
import * as path from "node:path"
import * as Configuration from "./Docs/Configuration.ts"
import * as Limits from "./Docs/Limits.ts"
import * as References from "./Docs/References.ts"

/** The Markdown files at the root and in docs/, by path from the root. */
const documents = (root: string): ReadonlyMap<string, string> =>
  new Map(
    ["", "docs/"].flatMap((folder) =>
      fs
        .readdirSync(path.join(root, folder))
        .filter((name) => name.endsWith(".md"))
        .map((name) => [folder + name, fs.readFileSync(path.join(root, folder + name), "utf8")] as const)
    )
  )

/** Every string in src that has the form of a metric's name. */
const metrics = (root: string): ReadonlySet<string> =>
  new Set(
    fs
      .readdirSync(path.join(root, "src"), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts"))
      .flatMap((name) => fs.readFileSync(path.join(root, "src", name), "utf8").match(/"spillway_[a-z0-9_]+"/g) ?? [])
      .map((quoted) => quoted.slice(1, -1))
  )

const scripts = (root: string): ReadonlyArray<string> => {
  const { scripts = {} }: { readonly scripts?: object } = JSON.parse(
    fs.readFileSync(path.join(root, "package.json"), "utf8")
  )
  return Object.keys(scripts)
}

/** One line for each thing that is wrong with the documents of the project under `root`. */
export async function problems(root: string): Promise<ReadonlyArray<string>> {
  const all = documents(root)
  const loaded = await Configuration.load(root)
  return [
    ...Configuration.problems(loaded, all.get(Configuration.file)),
    ...Limits.problems(all),
    ...References.problems(all, {
      exists: (name) => fs.existsSync(path.join(root, name)),
      scripts: scripts(root),
      settings: Configuration.names(loaded),
      metrics: metrics(root)
    })
  ]
}

if (import.meta.main) await Configuration.write(path.join(import.meta.dirname, ".."))
