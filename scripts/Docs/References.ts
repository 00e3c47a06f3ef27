/** What documents refer to exists: linked files and headings, paths, npm scripts, settings and metrics. */
import * as path from "node:path"

export interface Project {
  /** Whether a file or folder exists, by its path from the root. */
  readonly exists: (path: string) => boolean
  /** Names of the scripts in package.json. */
  readonly scripts: ReadonlyArray<string>
  /** Names of all environment variables that a program reads. */
  readonly settings: ReadonlyArray<string>
  /** Names of all metrics, as the code declares them. */
  readonly metrics: ReadonlySet<string>
}

/** What a document names, and which of it is unknown. */
interface Reference {
  readonly in: RegExp
  readonly isKnown: (name: string, project: Project) => boolean
  readonly problem: (name: string) => string
}

/** A change log also names what a release removed. */
const history = "CHANGELOG.md"

/** Prometheus shows a histogram as three series. */
const series = /_(bucket|count|sum)$/

const references: ReadonlyArray<Reference> = [
  {
    in: /`((?:src|test|scripts|bench|docs|\.ci)\/[\w./-]*)`/g,
    // `X` stands for any module.
    isKnown: (name, { exists }) => /\bX\b/.test(name) || exists(name),
    problem: (name) => `names the path ${name}, which does not exist`
  },
  {
    in: /\bnpm run (?:-s )?([\w-]+)/g,
    isKnown: (name, { scripts }) => scripts.includes(name),
    problem: (name) => `names the script ${name}, which package.json does not have`
  },
  {
    in: /\b(SPILLWAY_[A-Z0-9_]+)\b/g,
    isKnown: (name, { settings }) => settings.includes(name),
    problem: (name) => `names the setting ${name}, which does not exist`
  },
  {
    in: /\b(spillway_[a-z0-9_]+)\b/g,
    isKnown: (name, { metrics }) => metrics.has(name) || metrics.has(name.replace(series, "")),
    problem: (name) => `names the metric ${name}, which does not exist`
  }
]

const withoutCode = (text: string): string => text.replaceAll(/^```[\s\S]*?^```/gm, "").replaceAll(/`[^`\n]*`/g, "")

/** The anchor that a heading gets where Markdown is shown. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
    .trim()
    .replaceAll(/\s/g, "-")

const anchorsIn = (text: string): ReadonlyArray<string> =>
  [...text.replaceAll(/^```[\s\S]*?^```/gm, "").matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) => anchorOf(heading))

const brokenLinks = (file: string, text: string, documents: ReadonlyMap<string, string>, { exists }: Project) =>
  [...withoutCode(text).matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link = ""]) => {
    if (/^[a-z]+:/.test(link)) return []
    const [name = "", anchor] = link.split("#", 2)
    const target = name === "" ? file : path.posix.join(path.posix.dirname(file), name)
    if (!exists(target)) return [`${file} links to ${target}, which does not exist`]
    const heading = anchor === undefined || anchorsIn(documents.get(target) ?? "").includes(anchor)
    return heading ? [] : [`${file} links to ${link}, which is no heading there`]
  })

/** `documents`: texts by path from the root. */
export function problems(documents: ReadonlyMap<string, string>, project: Project): ReadonlyArray<string> {
  return [...documents].flatMap(([file, text]) => [
    ...brokenLinks(file, text, documents, project),
    ...(file === history ? [] : references).flatMap(({ in: pattern, isKnown, problem }) => {
      const named = new Set([...text.matchAll(pattern)].map(([, name = ""]) => name))
      return [...named].filter((name) => !isKnown(name, project)).map((name) => `${file} ${problem(name)}`)
    })
  ])
}
