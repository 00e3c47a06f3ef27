/**
 * Body of a thread of `SegmentReader`: reads what it is sent, one request after the other, and sends the buffer back.
 * Plain JavaScript, because stripping types costs a thread 10 MB.
 */
import * as Fs from "node:fs"
import { parentPort } from "node:worker_threads"

const numbersPerExtent = 3

const read = ({ buffer, id, extents }) => {
  const target = new Uint8Array(buffer)
  let offset = 0
  for (let at = 0; at < extents.length; at += numbersPerExtent) {
    const [fd, position, length] = extents.subarray(at, at + numbersPerExtent)
    const extent = at / numbersPerExtent
    // edge: the file system's own calls, on a thread that has nothing else to do.
    try {
      for (let done = 0; done < length;) {
        const count = Fs.readSync(fd, target, offset, length - done, position + done)
        if (count === 0) return { id, buffer, failed: { extent } }
        done += count
        offset += count
      }
    } catch (cause) {
      return { id, buffer, failed: { extent, cause } }
    }
  }
  return { id, buffer }
}

parentPort?.on("message", (request) => {
  const reply = read(request)
  parentPort?.postMessage(reply, [reply.buffer])
})
