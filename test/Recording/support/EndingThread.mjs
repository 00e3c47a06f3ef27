/** A reader thread that dies at its first message. */
import { parentPort } from "node:worker_threads"

parentPort?.on("message", () => {
  throw new Error("a bug")
})
