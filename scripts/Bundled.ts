/** Folders in `.cache` that hold bundles: built as a whole, so that a build that fails leaves the previous one. */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"

const root = path.join(import.meta.dirname, "..")

/** Whether the process that a folder is named for runs: it may be writing the folder. */
const isBeingBuilt = (folder: string): boolean => {
  const pid = Number(/-(\d+)$/.exec(folder)?.[1])
  if (Number.isNaN(pid)) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (cause) {
    return cause instanceof Error && "code" in cause && cause.code === "EPERM"
  }
}

/**
 * Builds into a new folder, and names it and the stamp in the file `current`. Two builds at once both build; the last one
 * is current. The newest `kept` folders stay, and those being built.
 */
export const replace = async (
  name: string,
  { kept, what }: { readonly kept: number; readonly what: string },
  build: (folder: string) => Promise<void>
): Promise<void> => {
  const stamp = process.argv[2] ?? ""
  const cache = path.join(root, ".cache", name)
  const built = `${createHash("sha256").update(stamp).digest("base64url").slice(0, 10)}-${process.pid}`
  try {
    fs.mkdirSync(path.join(cache, built), { recursive: true })
    await build(path.join(cache, built))
    const current = path.join(cache, `current.${process.pid}`)
    fs.writeFileSync(current, `${built}\n${stamp}`)
    fs.renameSync(current, path.join(cache, "current"))
    const folders = fs.readdirSync(cache, { withFileTypes: true }).filter((entry) => entry.isDirectory())
    const builtAt = (folder: string) => fs.statSync(path.join(cache, folder), { throwIfNoEntry: false })?.mtimeMs ?? 0
    const others = folders.map((folder) => folder.name).filter((folder) => folder !== built && !isBeingBuilt(folder))
    for (const old of others.toSorted((a, b) => builtAt(b) - builtAt(a)).slice(kept - 1)) {
      fs.rmSync(path.join(cache, old), { recursive: true, force: true })
    }
  } catch (cause) {
    console.error(`${what} could not be bundled: ${cause instanceof Error ? cause.message : String(cause)}`)
    process.exitCode = 1
  }
}
