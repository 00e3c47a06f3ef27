/** Tests: files that change their process have one of their own each, all others share some, which have loaded the modules. */
import { existsSync, globSync, readFileSync } from "node:fs"
import { availableParallelism } from "node:os"
import { dirname, join, relative } from "node:path"
import { defineConfig } from "vitest/config"
import { BaseSequencer, type TestSpecification } from "vitest/node"

const root = import.meta.dirname
const files = globSync("test/**/*.test.ts", { cwd: root })

/** What all files of a process would share: its metrics, among others. */
const ownsProcess = new RegExp(
  [
    /"node:worker_threads"|\bMetric\b|\bdeleted_by_node\b/,
    /\bprocess\.(on|once|emit|chdir|umask|memoryUsage)\((?!"exit")|\bprocess\.env\[.*\] \??\??=[^=]/
  ]
    .map(({ source }) => source)
    .join("|")
)
/** In a module that several files load, it runs after the first of them alone. */
const endsFile = /^afterAll\(/m

/** The files of `test` that a file imports, itself included. */
const importsOf = (file: string, found = new Map<string, string>()): ReadonlyMap<string, string> => {
  if (found.has(file) || !file.startsWith("test/") || !existsSync(join(root, file))) return found
  const text = readFileSync(join(root, file), "utf8")
  found.set(file, text)
  for (const [, path = ""] of text.matchAll(/(?:from |import\(|import )"(\.\.?\/[^"*]+\.ts)"/g))
    importsOf(join(dirname(file), path), found)
  return found
}

const isolated = files.filter((file) =>
  [...importsOf(file)].some(([path, text]) => ownsProcess.test(text) || (path !== file && endsFile.test(text)))
)

/** A timeout of its own, longer than `testTimeout`: the test takes minutes by itself. */
const isLongest = /\btimeout: 600_000\b/

/** The longest files go first, so that none is left for the end: those of minutes, then those that start servers, and mostly wait. */
class LongestFirst extends BaseSequencer {
  override async sort(files: Array<TestSpecification>) {
    const sorted = await super.sort(files)
    const rank = ({ moduleId }: TestSpecification) => {
      const imports = importsOf(relative(root, moduleId))
      if (isLongest.test(imports.get(relative(root, moduleId)) ?? "")) return 0
      return imports.has("test/support/Server.ts") ? 1 : 2
    }
    const ranked = sorted.map((file) => ({ file, rank: rank(file) }))
    return ranked.toSorted((a, b) => a.rank - b.rank).map(({ file }) => file)
  }
}

/** Workers, and the servers and commands that tests start, load the same modules again and again. */
process.env["NODE_COMPILE_CACHE"] ??= join(import.meta.dirname, ".cache/compiled")

export default defineConfig({
  test: {
    projects: [
      { extends: true, test: { name: "processes", include: isolated } },
      {
        extends: true,
        test: { name: "files", include: files.filter((file) => !isolated.includes(file)), isolate: false }
      }
    ],
    globalSetup: ["test/support/globalSetup.ts"],
    setupFiles: ["test/support/Seed.ts"],
    pool: "forks",
    // Most files wait for processes and timers most of the time: more run at once than there are cores. They share the
    // connections of one PostgreSQL.
    maxWorkers: Math.min(availableParallelism() + 2, 12),
    sequence: { sequencer: LongestFirst },
    // For what hangs: on a busy machine a test may well take ten times as long as on a quiet one.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    teardownTimeout: 60_000
  }
})
