/** Names are the words of the field, and comments are a small part of the code. */
import { inSource, nameOf, type Rule, whole } from "./Rule.ts"
import type { Source } from "./Source.ts"

/** Names that a stranger guesses wrong, each with the word of the field. */
const names: Readonly<Record<string, string>> = {
  Held: "HeldPermits",
  LiveCapture: "CaptureWriter",
  LiveChunk: "JournalChunk",
  Overlaps: "ReplayCheck",
  Room: "Eviction",
  Turns: "FairQueue",
  Watch: "SaturationLog"
}

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

/** The upper bound is 8; it may only fall until then. */
const [leastComments, mostComments] = [3, 9.1]
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

export const rules: ReadonlyArray<Rule> = [vocabulary, comments]
