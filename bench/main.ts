/** `npm run bench -- NAME [--quick]`: runs one bench, or one after the other with `all`. A bench is a file here that exports `run`. */
import * as fs from "node:fs"
import * as path from "node:path"

interface Bench {
  readonly run: (args: ReadonlyArray<string>) => Promise<void>
}

const isBench = (module: object): module is Bench => "run" in module && typeof module.run === "function"

const load = async (name: string): Promise<Bench | undefined> => {
  const module: object = await import(`./${name}.ts`)
  return isBench(module) ? module : undefined
}

const files = fs
  .readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith(".ts") && file !== path.basename(import.meta.filename))
  .map((file) => path.basename(file, ".ts"))
  .toSorted()

// Files with a capital are parts of benches, as in src.
const names = files.filter((name) => /^[a-z]/.test(name))

const [name, ...args] = process.argv.slice(2)
const chosen = name === "all" ? names : names.filter((n) => n === name)

if (chosen.length === 0) {
  const what = name === undefined ? "" : `There is no bench "${name}". `
  console.error(`${what}Usage: npm run bench -- NAME [--quick], where NAME is one of: ${[...names, "all"].join(", ")}`)
  process.exitCode = 1
}

for (const each of chosen) {
  const bench = await load(each)
  if (bench === undefined) {
    console.error(`bench/${each}.ts does not export a function \`run\`.`)
    process.exitCode = 1
    continue
  }
  if (chosen.length > 1) console.log(`\n== ${each}`)
  await bench.run(args)
}
