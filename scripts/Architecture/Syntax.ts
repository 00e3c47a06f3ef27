/** Rules on syntax that is forbidden, or allowed only where a foreign library is wrapped, with the reason beside it. */
import { at, inBrowser, inSource, isTest, type Rule } from "./Rule.ts"
import { chain, child, type Node, type Source, textOf, walk } from "./Source.ts"

/** A line comment with this prefix gives the reason for the escape on its line or in the next statement. */
const marker = "edge:"

const escapes = (node: Node): string | undefined => {
  const { fields, type } = node
  switch (type) {
    case "TSAnyKeyword":
      return "any"
    case "TSAsExpression": {
      const to = child(node, "typeAnnotation")
      return to?.type === "TSTypeReference" && textOf(child(to, "typeName"), "name") === "const" ? undefined : "as"
    }
    case "TSTypeAssertion":
      return "<type>"
    case "TSNonNullExpression":
      return "!"
    case "PropertyDefinition":
    case "VariableDeclarator":
      return fields.definite === true ? "!:" : undefined
    case "FunctionDeclaration":
    case "FunctionExpression":
    case "ArrowFunctionExpression":
      return fields.async === true ? "async" : undefined
    case "AwaitExpression":
      return "await"
    case "ForOfStatement":
      return fields.await === true ? "for await" : undefined
    case "TryStatement":
      return "try"
    case "NewExpression": {
      const name = chain(child(node, "callee")).join(".")
      const now = name === "Date" && Array.isArray(fields.arguments) && fields.arguments.length === 0
      return name === "Promise" || now ? `new ${name}` : undefined
    }
    case "CallExpression": {
      const [first = "", ...rest] = chain(child(node, "callee"))
      const globals = ["fetch", "setTimeout", "setInterval", "setImmediate"]
      return rest.length === 0 && globals.includes(first) ? first : undefined
    }
    case "MemberExpression": {
      const [first = "", second = "", ...more] = chain(node).filter((word, at) => at > 0 || word !== "globalThis")
      const name = `${first}.${second}`
      return more.length === 0 &&
        second !== "" &&
        (first === "console" || ["Date.now", "Math.random", "process.env"].includes(name))
        ? name
        : undefined
    }
    default:
      return undefined
  }
}

/** Last lines of the comments that give a reason, which can span several lines. */
const reasons = (source: Source): ReadonlySet<number> => {
  const lines = source.comments.filter(({ type }) => type === "Line")
  const commented = new Set(lines.map(({ start }) => source.lineOf(start)))
  const covered = lines
    .filter(({ value }) => value.trim().startsWith(marker) && value.trim().length > marker.length)
    .map(({ start }) => {
      let line = source.lineOf(start)
      while (commented.has(line + 1)) line += 1
      return line
    })
  return new Set(covered)
}

const holders = /(Statement|Declaration|Definition|^Property|^TSPropertySignature)$/

const reasoned = (source: Source): ((node: Node, above: ReadonlyArray<Node>) => boolean) => {
  const covered = reasons(source)
  return (node, above) => {
    const holder = above.findLast(({ type }) => holders.test(type) && type !== "BlockStatement") ?? node
    return [node, holder].some(({ start }) => {
      const line = source.lineOf(start)
      return covered.has(line) || covered.has(line - 1)
    })
  }
}

/** Escapes in code of browsers: only unchecked types. Promises, timers and the clock are the platform. */
const beliefs = ["any", "as", "<type>", "!", "!:"]

const noEscape: Rule = {
  name: "no-escape",
  check: (source) => {
    if (!inSource(source.path)) return []
    const isReasoned = reasoned(source)
    return [...walk(source.root)].flatMap(([node, above]) => {
      const what = escapes(node)
      return what === undefined || (inBrowser(source.path) && !beliefs.includes(what)) || isReasoned(node, above)
        ? []
        : [at(source, node.start, `\`${what}\` needs its reason above it: \`// ${marker} …\``)]
    })
  }
}

const unfinished = /\b(TODO|FIXME|XXX|HACK)\b/
const switchedOff = /@ts-(ignore|nocheck|expect-error)|(eslint|oxlint|prettier|oxfmt)-(disable|ignore)/

const finished: Rule = {
  name: "finished",
  check: (source) =>
    source.comments.flatMap(({ start, value }) => {
      const found = unfinished.exec(value) ?? switchedOff.exec(value)
      return found === null ? [] : [at(source, start, `${found[0]} in a comment`)]
    })
}

const nothingSkipped: Rule = {
  name: "nothing-skipped",
  check: (source) =>
    [...walk(source.root)].flatMap(([node]) => {
      if (!isTest(source.path) || node.type !== "MemberExpression") return []
      const name = chain(node)
      const last = name.at(-1) ?? ""
      return ["it", "test", "describe", "suite", "layer"].includes(name[0] ?? "") &&
        ["only", "skip", "todo", "fails"].includes(last)
        ? [at(source, node.start, `every test runs: no \`.${last}\``)]
        : []
    })
}

const parses: Rule = {
  name: "parses",
  check: (source) => source.errors.map((message) => at(source, 0, message))
}

/** A function declaration is found by a symbol index (Universal Ctags); an arrow in a constant is not. */
const walkable: Rule = {
  name: "walkable",
  check: (source) =>
    !inSource(source.path)
      ? []
      : [...walk(source.root)].flatMap(([node, above]) => {
          const isPublic = above.length === 3 && above[1]?.type === "ExportNamedDeclaration"
          const isArrow = child(node, "init")?.type === "ArrowFunctionExpression"
          // A constant with a type of its own is an implementation of that type.
          const isTyped = child(child(node, "id"), "typeAnnotation") !== undefined
          return node.type === "VariableDeclarator" && isPublic && isArrow && !isTyped
            ? [at(source, node.start, `\`${textOf(child(node, "id"), "name")}\` is a function: declare it as one`)]
            : []
        })
}

export const rules: ReadonlyArray<Rule> = [walkable, parses, noEscape, finished, nothingSkipped]
