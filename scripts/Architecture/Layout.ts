/** Rules on the place, name and length of files. */
import { at, isComposition, inPage, inSource, isMigration, isTest, nameOf, type Rule, whole } from "./Rule.ts"
import { chain, child, type Source, walk } from "./Source.ts"

const technical = ["common", "controllers", "helpers", "layers", "lib", "repositories", "services", "types", "utils"]
const maxLinesOfCode = 400
const maxLinesOfMain = 45

/** Counts lines that are neither blank nor only comment. */
const linesOfCode = ({ comments, text }: Source): number =>
  comments
    .toReversed()
    .reduce(
      (rest, { end, start }) =>
        rest.slice(0, start) + rest.slice(start, end).replaceAll(/[^\n]/g, "") + rest.slice(end),
      text
    )
    .split("\n")
    .filter((line) => line.trim() !== "").length

const noIndex: Rule = {
  name: "no-index",
  check: (source) => (nameOf(source.path) === "index" ? [whole(source, "name the file for its main export")] : [])
}

const domainFolders: Rule = {
  name: "domain-folders",
  check: (source) =>
    source.path
      .split("/")
      .slice(1, -1)
      .filter((folder) => technical.includes(folder.toLowerCase()))
      .map((folder) => whole(source, `folders are domain nouns, not \`${folder}\``))
}

const depth: Rule = {
  name: "depth",
  check: (source) =>
    inSource(source.path) && source.path.split("/").length > (inPage(source.path) ? 5 : 4)
      ? [whole(source, "at most src/X/Y/Z.ts")]
      : []
}

const fileName: Rule = {
  name: "file-name",
  check: (source, all) => {
    const name = nameOf(source.path)
    if (!inSource(source.path) || isComposition(source.path) || isMigration(source.path)) return []
    if (!/^[A-Z][A-Za-z0-9]*$/.test(name)) return [whole(source, "the name is PascalCase")]
    const byName = [...all.values()].some((other) =>
      other.imports.some((each) => each.target === source.path && !each.namespace && !each.typeOnly)
    )
    const onlyParts = source.ownExports === 0 || inPage(source.path)
    // `Storage/Gcs/Fault.ts` may export `GcsFault`: the folder is the prefix.
    const folder = source.path.split("/").at(-2) ?? ""
    const main = [name, name.slice(0, 1).toLowerCase() + name.slice(1), `${folder}${name}`]
    return main.some((each) => source.exports.includes(each)) || onlyParts || !byName
      ? []
      : [whole(source, `exports no \`${name}\`: export one, or import the file only as \`* as ${name}\``)]
  }
}

const fileLength: Rule = {
  name: "file-length",
  check: (source) => {
    const lines = linesOfCode(source)
    return lines > maxLinesOfCode ? [whole(source, `${lines} lines of code, at most ${maxLinesOfCode}`)] : []
  }
}

const header: Rule = {
  name: "header",
  check: (source) => (/^(#!.*\n)?\/\*\*\s/.test(source.text) ? [] : [whole(source, "begins with a line `/** … */`")])
}

const oneService: Rule = {
  name: "one-service",
  check: (source) =>
    [...walk(source.root)]
      .filter(([node]) => node.type === "ClassDeclaration" || node.type === "ClassExpression")
      .filter(([node]) => chain(child(node, "superClass")).join(".") === "Context.Service")
      .slice(1)
      .filter(() => inSource(source.path))
      .map(([node]) => at(source, node.start, "a second service in the same file"))
}

const main: Rule = {
  name: "main",
  check: (source) => {
    if (source.path !== "src/main.ts") return []
    const lines = source.text.trimEnd().split("\n").length
    const long = lines > maxLinesOfMain ? [whole(source, `${lines} lines, at most ${maxLinesOfMain}`)] : []
    const branches = ["IfStatement", "ConditionalExpression", "SwitchStatement", "LogicalExpression"]
    return [
      ...long,
      ...[...walk(source.root)]
        .filter(([node]) => branches.includes(node.type))
        .map(([node]) => at(source, node.start, "decides nothing: layers choose"))
    ]
  }
}

/** Subjects of tests that are not TypeScript. */
const otherSubjects = [".ci/run"]

/**
 * `test/Storage/Disk/Disk.test.ts` tests `src/Storage/Disk/Disk.ts`. A test of one aspect, or of several files, names its
 * subject in its header instead: files or folders, in backticks.
 */
const mirror: Rule = {
  name: "mirror",
  check: (source, all) => {
    const { comments, path } = source
    if (!isTest(path) || !path.endsWith(".test.ts")) return []
    const about = path.replace(/\.test\.ts$/, "").slice("test/".length)
    const files = [...all.keys()]
    const isFile = [`src/${about}`, `test/${about}`, about].some(
      (name) => all.has(`${name}.ts`) || all.has(`${name}.mjs`)
    )
    const named = [...(comments[0]?.value ?? "").matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name)
    const isNamed = named.some(
      (name) => otherSubjects.includes(name) || files.some((file) => file === name || file.startsWith(`${name}/`))
    )
    return isFile || isNamed
      ? []
      : [whole(source, `mirrors no file: there is no \`src/${about}.ts\`, and the header names no subject`)]
  }
}

export const rules: ReadonlyArray<Rule> = [
  noIndex,
  domainFolders,
  depth,
  fileName,
  fileLength,
  header,
  oneService,
  main,
  mirror
]
