/** The processes of this machine, as Linux lists them in `/proc`. */
import { readFileSync, readdirSync } from "node:fs"

export interface Process {
  readonly pid: number
  readonly parent: number
  readonly name: string
  readonly args: string
}

const read = (pid: string): ReadonlyArray<Process> => {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8")
    const field = (name: string) => new RegExp(`^${name}:\\s+(.*)$`, "m").exec(status)?.[1] ?? ""
    const args = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ")
    return [{ pid: Number(pid), parent: Number(field("PPid")), name: field("Name"), args }]
  } catch {
    // It has ended meanwhile.
    return []
  }
}

export const processes = (): ReadonlyArray<Process> =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap(read)

export const childrenOf = (pid: number | undefined) => processes().filter(({ parent }) => parent === pid)
