/** `.ci/run` with a stand-in for npm: its last line counts passes and failures, and its exit code agrees. */
import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { testFolder } from "../support/TestFolder.ts"

const run = path.join(import.meta.dirname, "../../.ci/run")

interface Outcome {
  readonly results: string
  readonly test: number
  readonly check: number
}

/** Writes `results` where vitest does, and exits with a chosen code. */
const ci = ({ check, results, test }: Outcome) => {
  const folder = testFolder()
  fs.writeFileSync(path.join(folder, "results"), results)
  const npm = `#!/bin/sh
if [ "$1" = test ]; then
  for argument; do case $argument in --outputFile.json=*) cat '${folder}/results' > "\${argument#*=}";; esac; done
  exit ${test}
fi
echo checked
exit ${check}
`
  fs.writeFileSync(path.join(folder, "npm"), npm, { mode: 0o755 })
  const { status, stdout } = spawnSync("bash", [run], {
    encoding: "utf8",
    env: { ...process.env, PATH: `${folder}:${process.env.PATH}` }
  })
  assert.include(stdout, "checked")
  return { status, last: stdout.trimEnd().split("\n").at(-1) }
}

const results = (numPassedTests: number, numFailedTests: number) => JSON.stringify({ numPassedTests, numFailedTests })

describe("Ci", () => {
  it("passes when the tests and the checks pass", () => {
    const outcome = ci({ results: results(7, 0), test: 0, check: 0 })
    assert.deepStrictEqual(outcome, { status: 0, last: "7 passed, 0 failed" })
  })

  it("counts failed tests", () => {
    const outcome = ci({ results: results(5, 2), test: 1, check: 0 })
    assert.deepStrictEqual(outcome, { status: 1, last: "5 passed, 2 failed" })
  })

  it("counts a failing check, and runs the checks when tests have failed", () => {
    assert.deepStrictEqual(ci({ results: results(5, 2), test: 1, check: 1 }), { status: 1, last: "5 passed, 3 failed" })
    assert.deepStrictEqual(ci({ results: results(7, 0), test: 0, check: 1 }), { status: 1, last: "7 passed, 1 failed" })
  })

  it("counts an aborted run, and one without a single test", () => {
    assert.deepStrictEqual(ci({ results: "", test: 1, check: 0 }), { status: 1, last: "0 passed, 1 failed" })
    assert.deepStrictEqual(ci({ results: results(7, 0), test: 1, check: 0 }), { status: 1, last: "7 passed, 1 failed" })
    assert.deepStrictEqual(ci({ results: results(0, 0), test: 0, check: 0 }), { status: 1, last: "0 passed, 1 failed" })
  })
})
