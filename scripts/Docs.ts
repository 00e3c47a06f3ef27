/** Writes the README's configuration tables from the settings in the code: `npm run docs`; `npm run check` compares. */
import * as fs from "node:fs"
import * as path from "node:path"

const begin = "<!-- configuration: written by `npm run docs` -->"
const end = "<!-- end of configuration -->"
const configuration = "src/Configuration.ts"
/** The module whose settings the server does not read. */
const commandLine = "Cli"

/** As much of a setting as a reader needs. */
export interface Setting {
  readonly env: string
  readonly doc: string
  readonly expected: string
  readonly defaultText: string | undefined
  readonly secret: boolean
}

/** A configuration class: `spillway/Storage/StorageConfig`, or `spillway/NodeConfig`. */
export interface Group {
  readonly key: string
  readonly settings: Readonly<Record<string, Setting>>
}

const moduleOf = (group: Group): string => {
  const [, module = "", part] = group.key.split("/")
  return part === undefined ? module.replace(/Config$/, "") : module
}

const cell = (text: string): string =>
  text
    .replaceAll("|", String.raw`\|`)
    .replaceAll(/\s*\n\s*/g, " ")
    .trim()

const sentence = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`)

/** How durations and sizes are written stands above the tables. */
const accepted = (expected: string): string => expected.replace(/^(a duration|a size) such as .*/, "$1")

const rowOf = ({ defaultText, doc, env, expected, secret }: Setting): string => {
  const standard = defaultText === undefined ? (secret ? "none (a secret)" : "none") : `\`${defaultText}\``
  return `| \`${env}\` | ${cell(standard)} | ${cell(accepted(expected))} | ${cell(sentence(doc))} |`
}

/** A table for each module, in the order of the groups. */
export const render = (groups: ReadonlyArray<Group>): string =>
  [...Map.groupBy(groups, moduleOf)]
    .map(([module, of]) =>
      [
        `**${module}**`,
        "",
        "| variable | default | accepts | meaning |",
        "| --- | --- | --- | --- |",
        ...of.flatMap((group) => Object.values(group.settings)).map(rowOf)
      ].join("\n")
    )
    .join("\n\n")

/** The document with its part between the markers replaced; nothing when there are no markers. */
export const replace = (document: string, tables: string): string | undefined => {
  const [from, to] = [document.indexOf(begin), document.indexOf(end)]
  return from < 0 || to < from
    ? undefined
    : `${document.slice(0, from + begin.length)}\n\n${tables}\n\n${document.slice(to)}`
}

/** Two settings that read the same variable would be one setting with two meanings. */
const twice = (groups: ReadonlyArray<Group>): ReadonlyArray<string> => {
  const names = groups.flatMap((group) => Object.values(group.settings)).map(({ env }) => env)
  return [...new Set(names.filter((name, at) => names.indexOf(name) !== at))].map(
    (name) => `${name} is read by two settings`
  )
}

const isGroup = (value: unknown): value is Group =>
  typeof value === "function" && "key" in value && "settings" in value && typeof value.settings === "object"

const groupsIn = (module: object): ReadonlyArray<Group> => Object.values(module).filter(isGroup)

interface Loaded {
  /** In the README, in this order: the server's groups, then the command line's own. */
  readonly groups: ReadonlyArray<Group>
  /** Configuration classes that exist in src and are in no program. */
  readonly forgotten: ReadonlyArray<Group>
}

const load = async (root: string): Promise<Loaded> => {
  const composed: { readonly groups?: unknown } = await import(path.join(root, configuration))
  const groups = Array.isArray(composed.groups) ? composed.groups.filter(isGroup) : []
  const files = fs
    .readdirSync(path.join(root, "src"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith("Config.ts"))
    .toSorted()
  const modules = await Promise.all(
    files.map(async (file): Promise<object> => await import(path.join(root, "src", file)))
  )
  const others = modules.flatMap((module) => groupsIn(module)).filter((group) => !groups.includes(group))
  return {
    groups: [...groups, ...others.filter((group) => moduleOf(group) === commandLine)],
    forgotten: others.filter((group) => moduleOf(group) !== commandLine)
  }
}

/** What is wrong with the README's tables, one line each. */
export const problems = async (root: string): Promise<ReadonlyArray<string>> => {
  const { forgotten, groups } = await load(root)
  const readme = fs.readFileSync(path.join(root, "README.md"), "utf8")
  const wanted = replace(readme, render(groups))
  const drift =
    wanted === undefined
      ? [`README.md lacks the lines ${begin} and ${end}`]
      : wanted === readme
        ? []
        : ["README.md's configuration tables are not what the code says: run `npm run docs`"]
  return [
    ...drift,
    ...twice(groups),
    ...forgotten.map(({ key }) => `${key} is not among the groups of ${configuration}`)
  ]
}

if (import.meta.main) {
  const root = path.join(import.meta.dirname, "..")
  const file = path.join(root, "README.md")
  const wanted = replace(fs.readFileSync(file, "utf8"), render((await load(root)).groups))
  if (wanted === undefined) throw new Error(`README.md lacks the lines ${begin} and ${end}`)
  fs.writeFileSync(file, wanted)
}
