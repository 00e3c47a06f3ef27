/** A parsed source file. */
import { type Comment, parseSync, visitorKeys } from "oxc-parser"

/** A node of the syntax tree. `fields` are the parser's, by name. */
export interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly fields: Readonly<Record<string, unknown>>
}

export interface Import {
  /** As written: `./Disk.ts`, `effect`. */
  readonly specifier: string
  readonly line: number
  /** Erased before it runs. */
  readonly typeOnly: boolean
  /** `import * as`, `export * as`. */
  readonly namespace: boolean
  /** What is imported or re-exported, by its name there; the name here of a namespace. */
  readonly names: ReadonlyArray<string>
  /** The path from the root, when it is a file of this project. */
  readonly target: string | undefined
}

export interface Source {
  readonly path: string
  readonly text: string
  readonly root: Node
  readonly comments: ReadonlyArray<Comment>
  readonly imports: ReadonlyArray<Import>
  readonly exports: ReadonlyArray<string>
  /** Exports that are not re-exports. */
  readonly ownExports: number
  /** Syntax errors. */
  readonly errors: ReadonlyArray<string>
  readonly lineOf: (offset: number) => number
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null

/** Casts a value of the parser to a node. */
export const nodeOf = (value: unknown): Node | undefined =>
  isRecord(value) && typeof value.type === "string" && typeof value.start === "number" && typeof value.end === "number"
    ? { type: value.type, start: value.start, end: value.end, fields: value }
    : undefined

/** The node in a field of a node. */
export const child = (node: Node | undefined, field: string): Node | undefined => nodeOf(node?.fields[field])

/** The text in a field of a node. */
export const textOf = (node: Node | undefined, field: string): string | undefined => {
  const value = node?.fields[field]
  return typeof value === "string" ? value : undefined
}

/** Every descendant, with its ancestors from the outermost. */
export function* walk(node: Node, above: ReadonlyArray<Node> = []): Generator<readonly [Node, ReadonlyArray<Node>]> {
  yield [node, above]
  const below = [...above, node]
  for (const key of visitorKeys[node.type] ?? []) {
    const value = node.fields[key]
    for (const item of Array.isArray(value) ? value : [value]) {
      const next = nodeOf(item)
      if (next !== undefined) yield* walk(next, below)
    }
  }
}

/** `a.b.c` for member accesses and names, and for what is called on the way: `a.b(1).c`. */
export const chain = (node: Node | undefined): ReadonlyArray<string> => {
  if (node === undefined) return []
  if (node.type === "Identifier") return [textOf(node, "name") ?? ""]
  if (node.type === "CallExpression") return chain(child(node, "callee"))
  if (node.type !== "MemberExpression") return []
  const property = child(node, "property")
  return [...chain(child(node, "object")), textOf(property, "name") ?? textOf(property, "value") ?? ""]
}

const resolve = (from: string, specifier: string): string | undefined => {
  if (!specifier.startsWith(".")) return undefined
  const steps = [...from.split("/").slice(0, -1), ...specifier.split("/")]
  const path: Array<string> = []
  for (const step of steps) {
    if (step === ".." && path.length > 0 && path.at(-1) !== "..") path.pop()
    else if (step !== "." && step !== "") path.push(step)
  }
  return path.join("/")
}

export const parse = (path: string, text: string): Source => {
  const { comments, errors, module, program } = parseSync(path, text, { sourceType: "module" })
  const root = nodeOf(program) ?? { type: "Program", start: 0, end: text.length, fields: {} }
  const starts = [0, ...Array.from(text.matchAll(/\n/g), (match) => match.index + 1)]
  const lineOf = (offset: number) => {
    const after = starts.findIndex((start) => start > offset)
    return after === -1 ? starts.length : after
  }
  const imported = (
    specifier: string,
    start: number,
    typeOnly: boolean,
    namespace: boolean,
    names: ReadonlyArray<string | null>
  ): Import => ({
    specifier,
    line: lineOf(start),
    typeOnly,
    namespace,
    names: names.filter((name) => name !== null),
    target: resolve(path, specifier)
  })
  const imports = [
    ...module.staticImports.map(({ entries, moduleRequest, start }) =>
      imported(
        moduleRequest.value,
        start,
        entries.length > 0 && entries.every((entry) => entry.isType),
        entries.some((entry) => entry.importName.kind === "NamespaceObject"),
        entries.map((entry) => entry.importName.name ?? entry.localName.value)
      )
    ),
    ...module.staticExports.flatMap(({ entries, start }) =>
      entries.flatMap((entry) =>
        entry.moduleRequest === null
          ? []
          : [
              imported(entry.moduleRequest.value, start, entry.isType, entry.importName.kind === "All", [
                entry.importName.name ?? entry.exportName.name
              ])
            ]
      )
    ),
    ...module.dynamicImports.flatMap(({ moduleRequest, start }) => {
      const quoted = /^(["'`])(.*)\1$/.exec(text.slice(moduleRequest.start, moduleRequest.end))
      return quoted?.[2] === undefined ? [] : [imported(quoted[2], start, false, true, [])]
    })
  ]
  const exports = module.staticExports.flatMap(({ entries }) =>
    entries.flatMap((entry) => (entry.exportName.name === null ? [] : [entry.exportName.name]))
  )
  const ownExports = module.staticExports
    .flatMap(({ entries }) => entries)
    .filter((entry) => entry.moduleRequest === null).length
  return {
    path,
    text,
    root,
    comments,
    imports,
    exports,
    ownExports,
    errors: errors.map((error) => error.message),
    lineOf
  }
}
