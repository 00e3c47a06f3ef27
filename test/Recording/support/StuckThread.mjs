/**
 * A reader thread that hangs, also when it is terminated, when it is to read at position 0: it writes a line to the file `stuck`
 * in `STUCK_THREAD_DIRECTORY` and waits for a byte of the pipe `pipe` there. Other reads work.
 */
import { execFileSync } from "node:child_process"
import { parentPort } from "node:worker_threads"

// A process writes the line, so the thread is in its system call by then.
const hang = "echo >> stuck; exec timeout 60 head -c 1 pipe"

parentPort?.on("message", ({ extents }) => {
  if (extents[1] === 0) execFileSync("sh", ["-c", hang], { cwd: process.env["STUCK_THREAD_DIRECTORY"] })
})

await import("../../../src/Recording/Journal/ReadThread.mjs")
