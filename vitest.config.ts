/** Tests: every file in its own process, so that no test sees another file's sockets, timers or environment. */
import { readFileSync } from "node:fs"
import { availableParallelism } from "node:os"
import { join } from "node:path"
import { defineConfig } from "vitest/config"
import { BaseSequencer, type TestSpecification } from "vitest/node"

/** Files that start servers take the longest, and mostly wait: they go first, so that none of them is left for the end. */
class ServersFirst extends BaseSequencer {
  override async sort(files: Array<TestSpecification>) {
    const sorted = await super.sort(files)
    const rank = ({ moduleId }: TestSpecification) =>
      /support\/(Chromium|Crash|Server|Suite|TestServer)\.ts"/.test(readFileSync(moduleId, "utf8")) ? 0 : 1
    const ranked = sorted.map((file) => ({ file, rank: rank(file) }))
    return ranked.toSorted((a, b) => a.rank - b.rank).map(({ file }) => file)
  }
}

/** Workers, and the servers and commands that tests start, load the same modules again and again. */
process.env["NODE_COMPILE_CACHE"] ??= join(import.meta.dirname, ".cache/compiled")

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/support/globalSetup.ts"],
    setupFiles: ["test/support/Seed.ts"],
    pool: "forks",
    // Most files wait for processes and timers most of the time: more run at once than there are cores. They share the
    // connections of one PostgreSQL.
    maxWorkers: Math.min(availableParallelism() + 1, 12),
    sequence: { sequencer: ServersFirst },
    // For what hangs: on a busy machine a test may well take ten times as long as on a quiet one.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    teardownTimeout: 60_000
  }
})
