/**
 * Body of a thread of `CodecThreads`: decodes or encodes what it is sent, one job after the other, and sends the result back.
 * Plain JavaScript, because stripping types costs a thread 10 MB.
 */
import { createRequire } from "node:module"
import { parentPort } from "node:worker_threads"

// Not the native build: its threads share one buffer for their results, and crash the process when they end.
const { Decoder } = createRequire(import.meta.url)("@evan/opus/wasm/index.js")

const decodeAll = (decoder, { lengths, packets, samples }) => {
  const pcm = new Uint8Array(samples * 2)
  let filled = 0
  let at = 0
  for (const length of lengths) {
    // An empty packet would be concealed as a lost one.
    if (length === 0) return { rejected: "a packet is empty" }
    let decoded
    // edge: the library throws at a packet that is not Opus.
    try {
      decoded = decoder.decode(packets.subarray(at, at + length))
    } catch (cause) {
      return { rejected: cause.message }
    }
    at += length
    const rest = decoded.subarray(0, pcm.length - filled)
    pcm.set(rest, filled)
    filled += rest.length
  }
  return { bytes: pcm.subarray(0, filled) }
}

const decode = (request) => {
  const decoder = new Decoder({ channels: 1, sample_rate: request.sampleRate })
  const reply = decodeAll(decoder, request)
  decoder.drop()
  return reply
}

const jobs = { decode }

parentPort?.on("message", (request) => {
  const started = performance.now()
  const reply = jobs[request.operation](request)
  const transfer = reply.bytes === undefined ? [] : [reply.bytes.buffer]
  parentPort?.postMessage({ ...reply, seconds: (performance.now() - started) / 1_000 }, transfer)
})
