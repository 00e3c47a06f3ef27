/** Folders: their size, their prefixes, and files that are too small. */
import { maxSmallFiles } from "../../../scripts/Architecture/Folders.ts"
import { file, type Files, suite } from "../../support/RuleCases.ts"

const named = (folder: string, ...names: ReadonlyArray<string>): Files =>
  Object.fromEntries(names.map((name) => [`${folder}/${name}.ts`, file(`export const ${name} = 1`)]))

const letters = (index: number) => `F${String(index).padStart(2, "0")}a`

const many = (folder: string, count: number, end: string): Files =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`${folder}/${letters(i)}.${end}`, file("")]))

/** `count` small files, all imported by one. */
const imported = (count: number): Files => ({
  ...Object.fromEntries(
    Array.from({ length: count }, (_, i) => [`src/A/${letters(i)}.ts`, file(`export const ${letters(i)} = 1`)])
  ),
  "src/A.ts": file(
    Array.from({ length: count }, (_, i) => `import { ${letters(i)} } from "./A/${letters(i)}.ts"`).join("\n")
  )
})

suite("Folders", [
  {
    rule: "folder-size",
    promise: "refuses a folder of more than 15 files, except for the page's components",
    bad: many("src/A", 16, "ts"),
    where: "src/A/F00a.ts:1",
    good: { ...many("src/A", 15, "ts"), ...many("src/Web/Page/Play", 16, "tsx") }
  },
  {
    rule: "prefixes",
    promise: "refuses a fourth file of one prefix in a folder",
    bad: named("src/A", "DiskA", "DiskB", "DiskC", "DiskD"),
    where: "src/A/DiskA.ts:1",
    good: named("src/A", "DiskA", "DiskB", "DiskC", "Disk", "Diskette")
  },
  {
    rule: "one-importer",
    promise: "refuses more small files with one importer than the bound",
    bad: imported(maxSmallFiles + 1),
    where: `src/A/${letters(maxSmallFiles)}.ts:1`,
    good: { ...imported(maxSmallFiles + 1), "src/A/Other.ts": file('import { F00a } from "./F00a.ts"') }
  }
])
