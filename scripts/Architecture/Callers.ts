/** The rule that code has a caller: every export of src is imported by src, or used in its own file. */
import { inSource, publishedFace, type Rule, whole } from "./Rule.ts"
import type { Source } from "./Source.ts"

/**
 * Called by tests and benches only: the reference that the index is compared with, the store in memory, and a database
 * without fsync.
 */
const testOnly = [
  "src/Audio/Timeline.ts layout",
  "src/Storage/MemoryStorage.ts layer",
  "src/Db/Postgres/EmbeddedPostgres.ts layerNotDurable"
]

const countIn = (text: string, pattern: string): number =>
  [...text.matchAll(new RegExp(`\\b${pattern}\\b`, "g"))].length

const isImported = (source: Source, name: string, files: ReadonlyArray<Source>): boolean =>
  files.some((file) =>
    file.imports.some(({ names, namespace, target }) => {
      if (target !== source.path) return false
      if (!namespace) return names.includes(name)
      // A dynamic import is destructured; a face may re-export a namespace for others.
      if (names.length === 0) return countIn(file.text, name) > 0
      return files.some(
        ({ path, text }) => path !== source.path && names.some((each) => countIn(text, `${each}\\.${name}`))
      )
    })
  )

/** Neither comments nor the paths of imports count. */
const isUsedInside = ({ comments, text }: Source, name: string): boolean => {
  const code = comments.toReversed().reduce((rest, { end, start }) => rest.slice(0, start) + rest.slice(end), text)
  return countIn(code.replaceAll(/"[^"\n]*"/g, ""), name) > 1
}

const caller: Rule = {
  name: "caller",
  check: (source, all) => {
    // Others call what is published.
    if (!inSource(source.path) || source.path === publishedFace) return []
    const files = [...all.values()].filter(({ path }) => inSource(path))
    return source.exports
      .filter((name) => !isUsedInside(source, name) && !isImported(source, name, files))
      .filter((name) => !testOnly.includes(`${source.path} ${name}`))
      .map((name) => whole(source, `no code of src uses \`${name}\`: write it with its caller`))
  }
}

export const rules: ReadonlyArray<Rule> = [caller]
