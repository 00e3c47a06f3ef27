/**
 * `npm run fuzz -- [MINUTES] [SEED] [FILE …]`: runs the random tests again and again, each round with the next seed,
 * for ten minutes by default. Stops at the first failure and prints its seed; `TEST_SEED=… npm test -- FILE` repeats
 * it.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"

const root = path.join(import.meta.dirname, "..")
const isRandom = (file: string) => /\.prop\(|support\/Seed\.ts"/.test(fs.readFileSync(path.join(root, file), "utf8"))
const randomFiles = () =>
  fs
    .readdirSync(path.join(root, "test"), { recursive: true, encoding: "utf8" })
    .map((file) => path.join("test", file))
    .filter((file) => file.endsWith(".test.ts") && isRandom(file))

const [minutes = "10", first = String(Date.now() % 1_000_000), ...files] = process.argv.slice(2)
const chosen = files.length > 0 ? files : randomFiles()
const until = performance.now() + Number(minutes) * 60_000
let seed = Number(first)

console.log(`${chosen.length} files for ${minutes} minutes from seed ${seed}`)
do {
  const began = performance.now()
  const vitest = path.join(root, "node_modules/vitest/vitest.mjs")
  const { status } = spawnSync(process.execPath, [vitest, "run", "--reporter=dot", ...chosen], {
    cwd: root,
    env: { ...process.env, TEST_SEED: String(seed) },
    stdio: ["ignore", "inherit", "inherit"]
  })
  console.log(JSON.stringify({ seed, passed: status === 0, seconds: Math.round((performance.now() - began) / 1000) }))
  if (status !== 0) {
    process.exitCode = 1
    break
  }
  seed++
} while (performance.now() < until)
