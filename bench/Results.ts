/** Files in `bench/results`, which long runs leave: tables as CSV, and drawings. */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"

const directory = path.join(import.meta.dirname, "results")

export const write = (name: string, text: string): void => {
  fs.mkdirSync(directory, { recursive: true })
  fs.writeFileSync(path.join(directory, name), text)
}

/** Read when the bench starts, because commits may be made while it runs. `-dirty`: with changes that are not committed. */
const commit = execFileSync("git", ["describe", "--always", "--dirty", "--exclude=*"], { encoding: "utf8" }).trim()

/** Where, when and of what the figures are. */
const origin = (): string => {
  const load = os.loadavg().map((value) => value.toFixed(1))
  const machine = `${os.cpus().length} x ${os.cpus()[0]?.model ?? ""}, Node ${process.version}`
  return `# ${new Date().toISOString()}, commit ${commit}, ${machine}, load average ${load.join(" ")}`
}

/** The fields of the first row are the columns. A number that could not be measured is left empty. */
export const writeTable = (
  name: string,
  rows: ReadonlyArray<Readonly<Record<string, string | number | boolean>>>
): void => {
  const lines = rows.map((row) =>
    Object.values(row)
      .map((value) => (Number.isNaN(value) ? "" : String(value)))
      .join()
  )
  write(name, [origin(), Object.keys(rows[0] ?? {}).join(), ...lines, ""].join("\n"))
}
