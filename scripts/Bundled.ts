/** Folders in `.cache` that hold a bundle: replaced as a whole, so that a build that fails leaves the previous one. */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"

const root = path.join(import.meta.dirname, "..")

/**
 * Builds into a new folder, and names it and the stamp in the file `current`. Two builds at once both build; the last one
 * is current.
 */
export const replace = async (name: string, what: string, build: (folder: string) => Promise<void>): Promise<void> => {
  const stamp = process.argv[2] ?? ""
  const cache = path.join(root, ".cache", name)
  const built = `${createHash("sha256").update(stamp).digest("base64url").slice(0, 10)}-${process.pid}`
  try {
    fs.mkdirSync(path.join(cache, built), { recursive: true })
    await build(path.join(cache, built))
    const current = path.join(cache, `current.${process.pid}`)
    fs.writeFileSync(current, `${built}\n${stamp}`)
    fs.renameSync(current, path.join(cache, "current"))
    for (const old of fs.readdirSync(cache)) {
      if (old !== built && old !== "current") fs.rmSync(path.join(cache, old), { recursive: true, force: true })
    }
  } catch (cause) {
    console.error(`${what} could not be bundled: ${cause instanceof Error ? cause.message : String(cause)}`)
    process.exitCode = 1
  }
}
