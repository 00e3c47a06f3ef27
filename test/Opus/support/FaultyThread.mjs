/** A codec thread that dies when it is to decode 1 sample, hangs at 2, and whose codec traps at 3. Other jobs work. */
import { createRequire } from "node:module"
import { parentPort } from "node:worker_threads"

const { Decoder } = createRequire(import.meta.url)("@evan/opus/wasm/index.js")

/** A module whose function `t` is `unreachable`. */
const trap = new WebAssembly.Instance(
  new WebAssembly.Module(
    Uint8Array.from(
      [
        [0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2],
        [1, 0, 7, 5, 1, 1, 116, 0, 0, 10, 5, 1, 3, 0, 0, 11]
      ].flat()
    )
  )
).exports.t

const decode = Decoder.prototype.decode
parentPort?.on("message", ({ samples }) => {
  if (samples === 1) process.exit(1)
  if (samples === 2) for (;;);
  Decoder.prototype.decode = samples === 3 ? trap : decode
})

await import("../../../src/Opus/CodecThread.mjs")
