/** How long documents may be. */

/** Bytes of README.md: a reader takes it in at once, and finds the rest through its links. */
const readmeBytes = 6_144
/** Lines of AGENTS.md. */
const agentsLines = 60
/** Lines of one entry of DECISIONS.md, and characters of one of its lines. */
const decisionLines = 8
const decisionWidth = 120

const linesOf = (text: string): ReadonlyArray<string> => text.trimEnd().split("\n")

interface Entry {
  readonly number: number
  /** Without trailing blank lines. */
  readonly lines: ReadonlyArray<string>
}

/** The numbered entries of DECISIONS.md. An entry ends at the next one, or at a heading. */
const entries = (text: string): ReadonlyArray<Entry> =>
  linesOf(text)
    .join("\n")
    .split(/\n(?=\d+\. |#)/)
    .flatMap((block) => {
      const number = /^(\d+)\. /.exec(block)?.[1]
      return number === undefined ? [] : [{ number: Number(number), lines: linesOf(block) }]
    })

const ofReadme = (text: string): ReadonlyArray<string> => {
  const bytes = Buffer.byteLength(text)
  return bytes > readmeBytes
    ? [`README.md has ${bytes} bytes, and at most ${readmeBytes} are allowed: move details to docs/`]
    : []
}

const ofAgents = (text: string): ReadonlyArray<string> => {
  const count = linesOf(text).length
  return count > agentsLines ? [`AGENTS.md has ${count} lines, and at most ${agentsLines} are allowed`] : []
}

const ofDecisions = (text: string): ReadonlyArray<string> =>
  entries(text).flatMap(({ lines, number }, at, all) => [
    ...(lines.length > decisionLines
      ? [`DECISIONS.md: decision ${number} has ${lines.length} lines, and at most ${decisionLines} are allowed`]
      : []),
    ...(lines.some((line) => line.length > decisionWidth)
      ? [`DECISIONS.md: decision ${number} has a line of more than ${decisionWidth} characters`]
      : []),
    ...(number <= (all[at - 1]?.number ?? 0)
      ? [`DECISIONS.md: decision ${number} is out of order or has the number of another one`]
      : [])
  ])

const limits: Readonly<Record<string, (text: string) => ReadonlyArray<string>>> = {
  "README.md": ofReadme,
  "AGENTS.md": ofAgents,
  "DECISIONS.md": ofDecisions
}

/** `documents`: texts by path from the root. */
export function problems(documents: ReadonlyMap<string, string>): ReadonlyArray<string> {
  return [...documents].flatMap(([path, text]) => limits[path]?.(text) ?? [])
}
