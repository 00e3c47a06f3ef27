/** Subjects of commits stay short. */
import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { problems } from "../../scripts/Commits.ts"
import { findProgram } from "../support/Programs.ts"
import { testFolder } from "../support/TestFolder.ts"

const folder = () => {
  const root = testFolder()
  return root
}

const git = (cwd: string, args: ReadonlyArray<string>, date = "2026-12-01T00:00:00Z") => {
  const identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
  const env = { ...process.env, GIT_AUTHOR_DATE: date, GIT_COMMITTER_DATE: date }
  const { status, stderr } = spawnSync("git", [...identity, ...args], { cwd, env, encoding: "utf8" })
  assert.strictEqual(status, 0, stderr)
}

const commit = (root: string, subject: string, date?: string) =>
  git(root, ["commit", "-q", "--allow-empty", "-m", subject], date)

const hasGit = findProgram("git", "a test of commits") !== undefined

describe("Commits", () => {
  it.runIf(hasGit)("reports a subject of more than 65 characters, and no other", () => {
    const root = folder()
    git(root, ["init", "-q"])
    commit(root, "x".repeat(80), "2026-11-01T00:00:00Z")
    commit(root, "é".repeat(65))
    assert.deepStrictEqual(problems(root), [])
    commit(root, "x".repeat(66))
    assert.match(problems(root).join("\n"), /^[0-9a-f]+: the subject has 66 characters, at most 65$/)
  })

  it("is skipped outside of a checkout", () => {
    assert.deepStrictEqual(problems(folder()), [])
  })
})
