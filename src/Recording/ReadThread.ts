/** Body of a thread of `SegmentReader`: reads what it is sent, one request after the other, and sends the buffer back. */
import * as Fs from "node:fs"
import { parentPort } from "node:worker_threads"

export interface ReadRequest {
  readonly id: number
  /** File descriptor, position and length of each run; the runs fill the buffer one behind the other. */
  readonly runs: Float64Array
  readonly buffer: ArrayBuffer
}

export interface ReadReply {
  readonly id: number
  readonly buffer: ArrayBuffer
  /** Index of the run that could not be read; without a cause the file ended before the run did. */
  readonly failed?: { readonly run: number; readonly cause?: unknown }
}

const numbersPerRun = 3

const read = ({ buffer, id, runs }: ReadRequest): ReadReply => {
  const target = new Uint8Array(buffer)
  let offset = 0
  for (let at = 0; at < runs.length; at += numbersPerRun) {
    const [fd = 0, position = 0, length = 0] = runs.subarray(at, at + numbersPerRun)
    const run = at / numbersPerRun
    // edge: the file system's own calls, on a thread that has nothing else to do.
    try {
      for (let done = 0; done < length;) {
        const count = Fs.readSync(fd, target, offset, length - done, position + done)
        if (count === 0) return { id, buffer, failed: { run } }
        done += count
        offset += count
      }
    } catch (cause) {
      return { id, buffer, failed: { run, cause } }
    }
  }
  return { id, buffer }
}

parentPort?.on("message", (request: ReadRequest) => {
  const reply = read(request)
  parentPort?.postMessage(reply, [reply.buffer])
})
