/** Loaded before a server that a test starts: SIGUSR2 collects garbage and prints what is left, which no allocator changes. */
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { isMainThread } from "node:worker_threads"

if (isMainThread) {
  setFlagsFromString("--expose-gc")
  const collect: () => void = runInNewContext("gc")
  process.on("SIGUSR2", () => {
    collect()
    const { arrayBuffers, heapUsed } = process.memoryUsage()
    process.stderr.write(`${JSON.stringify({ retainedBytes: heapUsed + arrayBuffers })}\n`)
  })
}
