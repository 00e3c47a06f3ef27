/** Rules on the words of names, comments and titles of tests, and on the share of comments in the code. */
import { at, inSource, isTest, nameOf, type Rule, whole } from "./Rule.ts"
import { chain, child, nodeOf, type Source, walk } from "./Source.ts"

/** Names that a stranger guesses wrong, each with the word of the field. */
const names: Readonly<Record<string, string>> = {
  Access: "Authentication",
  ErrorResponses: "CommonProblems",
  Held: "HeldPermits",
  Kill: "Stop",
  LiveCapture: "CaptureWriter",
  LiveChunk: "JournalChunk",
  NotSealed: "DecryptionFailed",
  Overlaps: "ReplayCheck",
  Problems: "ProblemRules",
  Relocation: "Eviction",
  Room: "Eviction",
  SealedRecords: "EncryptedRecords",
  Sum: "Checksum",
  Turns: "FairQueue",
  Watch: "SaturationLog"
}

/** Phrases that lean on their neighbours or are no idiom, each with what to write. */
const phrases: ReadonlyArray<readonly [RegExp, string]> = [
  [/\bof late\b/i, "recent, smoothed"],
  [/\b(goes|go|going|gone|went) on (with|from|at|where)\b/i, "continue, resume"],
  [/\b(is|are|was|were) told\b/i, "receives, is notified, logs"],
  [/\bkept aside\b/i, "quarantined"],
  [/\b(is|are|was|were) looked at\b/i, "is read, is checked"],
  [/\b(as|that|what|who) may\b(?! (be|have)\b)/i, "say what is allowed"],
  [/\bmay pass\b/i, "is allowed"],
  [/\bwhat is there\b/i, "name it"],
  [/\bthose that were\b/i, "name them"],
  [/\bof its own as\b/i, "unique"],
  [/\b(nobody|somebody|whoever)\b/i, "name the actor: a client, a caller, a reader"],
  [/\bput off\b/i, "deferred"],
  [/\bfor a look\b/i, "for inspection"]
]

const vocabulary: Rule = {
  name: "vocabulary",
  check: (source) => {
    if (!inSource(source.path)) return []
    return [nameOf(source.path), ...source.exports].flatMap((name) => {
      const better = Object.hasOwn(names, name) ? names[name] : undefined
      return better === undefined ? [] : [whole(source, `\`${name}\` is not the field's word: ${better}`)]
    })
  }
}

const found = (text: string): ReadonlyArray<readonly [string, string]> =>
  phrases.flatMap(([phrase, better]) => {
    const match = phrase.exec(text)
    return match === null ? [] : [[match[0], better] as const]
  })

const prose: Rule = {
  name: "prose",
  check: (source) =>
    source.comments.flatMap(({ start, value }) =>
      found(value.replaceAll(/\s*\n\s*\*?\s*/g, " ")).map(([words, better]) =>
        at(source, start, `"${words}" in a comment: ${better}`)
      )
    )
}

/** Calls whose first argument is the title of a test or of a group of tests. */
const titled = ["describe", "it", "layer"]

/** Titles are promises in the present tense. */
const titles: Rule = {
  name: "titles",
  check: (source) => {
    if (!isTest(source.path)) return []
    return [...walk(source.root)].flatMap(([node]) => {
      const callee = child(node, "callee")
      if (node.type !== "CallExpression" || !titled.includes(chain(callee)[0] ?? "")) return []
      const [argument] = Array.isArray(node.fields["arguments"]) ? node.fields["arguments"] : []
      const title = nodeOf(argument)
      if (title === undefined || (title.type !== "Literal" && title.type !== "TemplateLiteral")) return []
      const text = source.text.slice(title.start, title.end)
      const modal = /\bshould\b/.exec(text) === null ? [] : [["should", "say what it does"] as const]
      return [...found(text), ...modal].map(([words, better]) =>
        at(source, title.start, `"${words}" in a title: ${better}`)
      )
    })
  }
}

/** Percent of the lines of `src`. */
const [leastComments, mostComments] = [3, 8]
/** Below this size a ratio says nothing. */
const ratioLines = 1_000

const count = (all: Iterable<Source>): { readonly comments: number; readonly lines: number } => {
  let [comments, lines] = [0, 0]
  for (const { path, text } of all) {
    if (!inSource(path)) continue
    for (const line of text.trimEnd().split("\n")) {
      lines++
      if (/^\s*(\/\/|\/\*|\*)/.test(line)) comments++
    }
  }
  return { comments, lines }
}

/** Percent of the lines of `src` that are comments. */
export const commentRatio = (all: ReadonlyMap<string, Source>): number => {
  const { comments, lines } = count(all.values())
  return (comments / Math.max(1, lines)) * 100
}

const comments: Rule = {
  name: "comments",
  check: (source, all) => {
    const first = [...all.keys()].find(inSource)
    if (source.path !== first || count(all.values()).lines < ratioLines) return []
    const ratio = commentRatio(all)
    return ratio < leastComments || ratio > mostComments
      ? [whole(source, `${ratio.toFixed(1)} % of src is comments: ${leastComments} to ${mostComments} %`)]
      : []
  }
}

export const rules: ReadonlyArray<Rule> = [vocabulary, prose, titles, comments]
