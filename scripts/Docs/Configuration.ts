/** The tables of docs/configuration.md, rendered from the settings in the code. */
import * as fs from "node:fs"
import * as path from "node:path"
import * as Settings from "../../src/Settings.ts"

/** The document that holds the tables. */
export const file = "docs/configuration.md"

const begin = "<!-- configuration: written by `npm run docs` -->"
const end = "<!-- end of configuration -->"
const composition = "src/Server/Configuration.ts"
/** The module whose settings belong to the command line and not to the server. */
const commandLine = "Cli"

/** The part of a setting that the tables show. */
export interface Setting {
  readonly env: string
  readonly doc: string
  readonly expected: string
  readonly defaultText: string | undefined
  readonly secret: boolean
  /** Fixed in the code, and not in the tables. */
  readonly constant?: boolean
}

/** A configuration class: `spillway/Storage/StorageConfig`, or `spillway/NodeConfig`. */
export interface Group {
  readonly key: string
  readonly settings: Readonly<Record<string, Setting>>
}

/** More would be too many to know: what an operator has no reason to change is a constant. */
const maxSettings = 50

const publicOf = ({ settings }: Group): ReadonlyArray<Setting> =>
  Object.values(settings).filter(({ constant }) => constant !== true)

const cell = (text: string): string =>
  text
    .replaceAll("|", String.raw`\|`)
    .replaceAll(/\s*\n\s*/g, " ")
    .trim()

const sentence = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`)

/** The text above the tables describes how durations and sizes are written. */
const accepted = (expected: string): string => expected.replace(/^(a duration|a size) such as .*/, "$1")

const rowOf = ({ defaultText, doc, env, expected, secret }: Setting): string => {
  const standard = defaultText === undefined ? (secret ? "none (a secret)" : "none") : `\`${defaultText}\``
  return `| \`${env}\` | ${cell(standard)} | ${cell(accepted(expected))} | ${cell(sentence(doc))} |`
}

/** One section with a table for each module, in the order of the groups. */
export function render(groups: ReadonlyArray<Group>): string {
  const shown = groups.filter((group) => publicOf(group).length > 0)
  return [...Map.groupBy(shown, Settings.moduleOf)]
    .map(([module, of]) =>
      [
        `## ${module}`,
        "",
        "| variable | default | accepts | meaning |",
        "| --- | --- | --- | --- |",
        ...of.flatMap(publicOf).map(rowOf)
      ].join("\n")
    )
    .join("\n\n")
}

/** The document with new tables between the markers; `undefined` when the markers are missing. */
export function replace(document: string, tables: string): string | undefined {
  const [from, to] = [document.indexOf(begin), document.indexOf(end)]
  return from < 0 || to < from
    ? undefined
    : `${document.slice(0, from + begin.length)}\n\n${tables}\n\n${document.slice(to)}`
}

/** Names of all variables that the server or the command line reads. */
export function names({ groups }: Pick<Loaded, "groups">): ReadonlyArray<string> {
  return groups.flatMap(publicOf).map(({ env }) => env)
}

const isGroup = (value: unknown): value is Group =>
  typeof value === "function" && "key" in value && "settings" in value && typeof value.settings === "object"

const groupsIn = (module: object): ReadonlyArray<Group> => Object.values(module).filter(isGroup)

export interface Loaded {
  /** In the order of the document: the groups of the server, then those of the command line. */
  readonly groups: ReadonlyArray<Group>
  /** Configuration classes in src that no program reads. */
  readonly unused: ReadonlyArray<Group>
}

export async function load(root: string): Promise<Loaded> {
  const composed: { readonly groups?: unknown } = await import(path.join(root, composition))
  const groups = Array.isArray(composed.groups) ? composed.groups.filter(isGroup) : []
  const files = fs
    .readdirSync(path.join(root, "src"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith("Config.ts"))
    .toSorted()
  const modules = await Promise.all(
    files.map(async (name): Promise<object> => await import(path.join(root, "src", name)))
  )
  const others = modules.flatMap((module) => groupsIn(module)).filter((group) => !groups.includes(group))
  return {
    groups: [...groups, ...others.filter((group) => Settings.moduleOf(group) === commandLine)],
    unused: others.filter((group) => Settings.moduleOf(group) !== commandLine)
  }
}

/** One variable with two settings would have two meanings. */
const duplicates = (all: ReadonlyArray<string>): ReadonlyArray<string> =>
  [...new Set(all.filter((name, at) => all.indexOf(name) !== at))].map((name) => `${name} is read by two settings`)

const tooMany = (count: number): ReadonlyArray<string> =>
  count > maxSettings ? [`there are ${count} settings, and at most ${maxSettings} are allowed`] : []

/** `document` is the text of `file`; `undefined` when there is no such file. */
export function problems(loaded: Loaded, document: string | undefined): ReadonlyArray<string> {
  const wanted = document === undefined ? undefined : replace(document, render(loaded.groups))
  const drift =
    wanted === undefined
      ? [`${file} lacks the lines ${begin} and ${end}`]
      : wanted === document
        ? []
        : [`the tables of ${file} differ from the settings in the code: run \`npm run docs\``]
  return [
    ...drift,
    ...duplicates(loaded.groups.flatMap(({ settings }) => Object.values(settings)).map(({ env }) => env)),
    ...tooMany(names(loaded).length),
    ...loaded.unused.map(({ key }) => `${key} is not among the groups of ${composition}`)
  ]
}

/** Writes the tables into the document of the project under `root`. */
export async function write(root: string): Promise<void> {
  const target = path.join(root, file)
  const wanted = replace(fs.readFileSync(target, "utf8"), render((await load(root)).groups))
  if (wanted === undefined) throw new Error(`${file} lacks the lines ${begin} and ${end}`)
  fs.writeFileSync(target, wanted)
}
