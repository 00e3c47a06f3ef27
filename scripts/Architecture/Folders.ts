/** Rules on the size of folders, shared prefixes, and files that are too small. */
import { isComposition, inPage, inSource, isEdge, isFace, isMigration, nameOf, type Rule, whole } from "./Rule.ts"
import type { Source } from "./Source.ts"

const maxFiles = 15
/** Four files that share a prefix are a folder. */
const maxPrefix = 3
/** A file of fewer lines earns its name by two importers. */
const smallLines = 60
/** Most small files with one importer in the project. It may only fall. */
export const maxSmallFiles = 10

const folderOf = (path: string): string => path.split("/").slice(0, -1).join("/")

/** Components of the page, each a leaf with one user. */
const isComponent = (path: string): boolean => inPage(path) && path.endsWith(".tsx")

const siblings = (source: Source, all: ReadonlyMap<string, Source>): ReadonlyArray<string> =>
  [...all.keys()].filter((path) => folderOf(path) === folderOf(source.path))

const folderSize: Rule = {
  name: "folder-size",
  check: (source, all) => {
    if (!inSource(source.path) || isFace(source.path) || isMigration(source.path)) return []
    const files = siblings(source, all).filter((path) => !isComponent(path))
    return files.length > maxFiles && files[0] === source.path
      ? [whole(source, `${folderOf(source.path)} has ${files.length} files, at most ${maxFiles}: find its parts`)]
      : []
  }
}

/** `Disk` of `DiskReader`; nothing of `Disk`. */
const prefixOf = (path: string): string | undefined => /^([A-Z][a-z0-9]+)[A-Z]/.exec(nameOf(path))?.[1]

const prefixes: Rule = {
  name: "prefixes",
  check: (source, all) => {
    const prefix = prefixOf(source.path)
    if (!inSource(source.path) || prefix === undefined || isComponent(source.path)) return []
    const same = siblings(source, all).filter((path) => prefixOf(path) === prefix && !isComponent(path))
    return same.length > maxPrefix && same[0] === source.path
      ? [whole(source, `${same.length} files begin with ${prefix}: make a folder of that name and drop the prefix`)]
      : []
  }
}

/** Small files that one other file imports, by path. */
export const smallFiles = (all: ReadonlyMap<string, Source>): ReadonlyArray<string> => {
  const importers = new Map<string, number>()
  for (const { imports, path } of all.values()) {
    if (!inSource(path)) continue
    for (const target of new Set(imports.map(({ target }) => target))) {
      if (target !== undefined) importers.set(target, (importers.get(target) ?? 0) + 1)
    }
  }
  return [...all.values()]
    .filter(({ path }) => inSource(path) && !isFace(path) && !isEdge(path) && !isMigration(path) && !isComponent(path))
    .filter(({ path }) => !isComposition(path) && importers.get(path) === 1)
    .filter(({ text }) => text.trimEnd().split("\n").length < smallLines)
    .map(({ path }) => path)
}

const oneImporter: Rule = {
  name: "one-importer",
  check: (source, all) => {
    const small = smallFiles(all)
    return small.indexOf(source.path) >= maxSmallFiles
      ? [
          whole(
            source,
            `one importer and under ${smallLines} lines: ${small.length} such files, at most ${maxSmallFiles}`
          )
        ]
      : []
  }
}

export const rules: ReadonlyArray<Rule> = [folderSize, prefixes, oneImporter]
