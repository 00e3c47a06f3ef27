/** Folders: their size, their prefixes, and files that are too small. */
import { maxSmallFiles } from "../../../scripts/Architecture/Folders.ts"
import { file, type Files, suite } from "../../support/RuleCases.ts"

/** Files that each export a constant of their name. */
const files = (folder: string, names: ReadonlyArray<string>, end = "ts"): Files =>
  Object.fromEntries(names.map((name) => [`${folder}/${name}.${end}`, file(`export const ${name} = 1`)]))

/** `F00a`, `F01a` and so on. */
const names = (count: number) => Array.from({ length: count }, (_, i) => `F${String(i).padStart(2, "0")}a`)

/** `count` small files, all imported by one. */
const imported = (count: number): Files => ({
  ...files("src/A", names(count)),
  "src/A.ts": file(
    names(count)
      .map((name) => `import { ${name} } from "./A/${name}.ts"`)
      .join("\n")
  )
})

suite("Folders", [
  {
    rule: "folder-size",
    promise: "refuses a folder of more than 15 files, except for the page's components",
    bad: files("src/A", names(16)),
    where: "src/A/F00a.ts:1",
    good: { ...files("src/A", names(15)), ...files("src/Web/Page/Play", names(16), "tsx") }
  },
  {
    rule: "prefixes",
    promise: "refuses a fourth file of one prefix in a folder",
    bad: files("src/A", ["DiskA", "DiskB", "DiskC", "DiskD"]),
    where: "src/A/DiskA.ts:1",
    good: files("src/A", ["DiskA", "DiskB", "DiskC", "Disk", "Diskette"])
  },
  {
    rule: "one-importer",
    promise: "refuses more small files with one importer than the bound",
    bad: imported(maxSmallFiles + 1),
    where: `src/A/${names(maxSmallFiles + 1).at(-1)}.ts:1`,
    good: { ...imported(maxSmallFiles + 1), "src/A/Other.ts": file('import { F00a } from "./F00a.ts"') }
  }
])
