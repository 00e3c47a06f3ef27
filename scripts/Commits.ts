/** Subjects of commits: one short line each. Skipped where there is no Git or no checkout. */
import { spawnSync } from "node:child_process"

/** Start of the rule: two earlier subjects are longer. */
const since = "2026-11-29T00:00:00Z"
/** Characters of a subject, so that lists of commits show all of it. */
const maxSubject = 65

/** One line for each subject that is too long in the history of the checkout at `root`. */
export const problems = (root: string): ReadonlyArray<string> => {
  const log = spawnSync("git", ["log", "--no-merges", `--since=${since}`, "--format=%h %s"], {
    cwd: root,
    encoding: "utf8"
  })
  if (log.status !== 0) return []
  return log.stdout
    .split("\n")
    .filter((line) => line !== "")
    .flatMap((line) => {
      const [, commit = "", subject = ""] = /^(\S+) (.*)$/.exec(line) ?? []
      const length = [...subject].length
      return length > maxSubject ? [`${commit}: the subject has ${length} characters, at most ${maxSubject}`] : []
    })
}
