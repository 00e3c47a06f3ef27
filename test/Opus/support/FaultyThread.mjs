/** A codec thread that dies when it is to decode 1 sample, and hangs when it is to decode 2. Other jobs work. */
import { parentPort } from "node:worker_threads"

parentPort?.on("message", ({ samples }) => {
  if (samples === 1) process.exit(1)
  if (samples === 2) for (;;);
})

await import("../../../src/Opus/CodecThread.mjs")
