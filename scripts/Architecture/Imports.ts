/** Rules on imports: one way, through faces. */
import {
  isComposition,
  inPage,
  inSource,
  isEdge,
  isFace,
  moduleOf,
  type Problem,
  type Rule,
  sharedWithPage,
  whole
} from "./Rule.ts"
import type { Import, Source } from "./Source.ts"

const eachImport =
  (judge: (source: Source, target: string, each: Import) => string | undefined): Rule["check"] =>
  (source) =>
    source.imports.flatMap((each): ReadonlyArray<Problem> => {
      const message = each.target === undefined ? undefined : judge(source, each.target, each)
      return message === undefined ? [] : [{ path: source.path, line: each.line, message }]
    })

const sourceOnly: Rule = {
  name: "source-only",
  check: eachImport((source, target) =>
    inSource(source.path) && !inSource(target) ? `src does not import ${target}` : undefined
  )
}

const pageAlone: Rule = {
  name: "page-alone",
  check: (source) => {
    const module = moduleOf(source.path)
    if (inSource(source.path) && sharedWithPage.includes(`src/${module}.ts`))
      return source.imports
        .filter(({ target }) => target === undefined || moduleOf(target) !== module)
        .map(({ line }) => ({ path: source.path, line, message: "what the page shares imports only its own parts" }))
    if (!inPage(source.path)) return []
    return eachImport((_, target) =>
      inPage(target) || sharedWithPage.includes(target)
        ? undefined
        : `the page imports only its own files and ${sharedWithPage.join(", ")}, not ${target}`
    )(source, new Map())
  }
}

const facesOnly: Rule = {
  name: "faces-only",
  check: eachImport((source, target) =>
    inSource(source.path) &&
    inSource(target) &&
    !isComposition(source.path) &&
    !isFace(target) &&
    moduleOf(source.path) !== moduleOf(target)
      ? `another module imports only the face, src/${moduleOf(target)}.ts, not ${target}`
      : undefined
  )
}

/** Edges by name, and the parts that import one. Faces can't import edges, so they are never among them. */
const edgesOf = (all: ReadonlyMap<string, Source>): ReadonlySet<string> => {
  const edges = new Set([...all.keys()].filter(isEdge))
  const parts = [...all.values()].filter(({ path }) => inSource(path) && !isFace(path))
  let before = -1
  while (edges.size > before) {
    before = edges.size
    for (const { imports, path } of parts) {
      if (imports.some(({ target }) => target !== undefined && edges.has(target))) edges.add(path)
    }
  }
  return edges
}

const edgesOutside: Rule = {
  name: "edges-outside",
  check: (source, all) => {
    const { path } = source
    if (!inSource(path) || isComposition(path)) return []
    const edges = edgesOf(all)
    return eachImport((_, target) =>
      (isEdge(target) || edges.has(target)) && (isFace(path) || moduleOf(path) !== moduleOf(target))
        ? `only src/main.ts, src/Cli.ts, src/Server/, tests and other edges of its module import the edge ${target}`
        : undefined
    )(source, all)
  }
}

const compositionLast: Rule = {
  name: "composition-last",
  check: eachImport((source, target) =>
    inSource(source.path) && !isComposition(source.path) && isComposition(target)
      ? `${target} puts modules together; no module imports it`
      : undefined
  )
}

/** A cycle through `from`, if there is one. */
const cycle = (from: string, next: (name: string) => ReadonlyArray<string>): ReadonlyArray<string> | undefined => {
  const seen = new Set<string>()
  const search = (way: ReadonlyArray<string>): ReadonlyArray<string> | undefined => {
    for (const name of next(way.at(-1) ?? from)) {
      if (name === from) return [...way, name]
      if (seen.has(name)) continue
      seen.add(name)
      const found = search([...way, name])
      if (found !== undefined) return found
    }
    return undefined
  }
  return search([from])
}

const noFileCycle: Rule = {
  name: "no-file-cycle",
  check: (source, all) => {
    const next = (path: string) =>
      (all.get(path)?.imports ?? []).flatMap(({ target, typeOnly }) =>
        target === undefined || typeOnly ? [] : [target]
      )
    const way = cycle(source.path, next)
    return way === undefined ? [] : [whole(source, `imports itself: ${way.join(" → ")}`)]
  }
}

/** Between modules a type is a dependency too. Edges and composition stand outside of the modules. */
const noModuleCycle: Rule = {
  name: "no-module-cycle",
  check: (source, all) => {
    if (!isFace(source.path) || isComposition(source.path)) return []
    const files = [...all.values()].filter(({ path }) => inSource(path) && !isEdge(path) && !isComposition(path))
    const next = (module: string) =>
      files
        .filter(({ path }) => moduleOf(path) === module)
        .flatMap(({ imports }) => imports.flatMap(({ target }) => (target === undefined ? [] : [moduleOf(target)])))
        .filter((target) => target !== module)
    const way = cycle(moduleOf(source.path), next)
    return way === undefined ? [] : [whole(source, `the module depends on itself: ${way.join(" → ")}`)]
  }
}

export const rules: ReadonlyArray<Rule> = [
  sourceOnly,
  pageAlone,
  facesOnly,
  edgesOutside,
  compositionLast,
  noFileCycle,
  noModuleCycle
]
