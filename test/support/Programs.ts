/** Programs of the system that some tests need and npm does not bring. */
import * as Fs from "node:fs"
import * as Path from "node:path"

const directories = () => [...(process.env["PATH"] ?? "").split(Path.delimiter), "/usr/sbin"]

/** Its path. Without it, says which tests are skipped and how to install it. */
export const findProgram = (name: string, tests: string): string | undefined => {
  const found = directories()
    .map((directory) => Path.join(directory, name))
    .find((path) => Fs.existsSync(path))
  if (found === undefined) console.warn(`Skipped: ${tests}. They need ${name} (Debian: apt-get install ${name}).`)
  return found
}
