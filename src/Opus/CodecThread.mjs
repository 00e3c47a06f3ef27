/**
 * Body of a thread of `CodecThreads`: decodes or encodes what it is sent, one job after the other, and sends the result back.
 * Plain JavaScript, because stripping types costs a thread 10 MB.
 */
import { createRequire } from "node:module"
import { parentPort } from "node:worker_threads"
import * as Resampler from "./Resampler.mjs"

// Not the native build: its threads share one buffer for their results, and crash the process when they end.
const { Decoder, Encoder } = createRequire(import.meta.url)("@evan/opus/wasm/index.js")

/** Bound of the library's buffer. No packet of one frame is longer than 1,275 bytes. */
const maxPacketBytes = 8_192

const decodeAll = (decoder, { lengths, packets, samples }) => {
  const pcm = new Uint8Array(samples * 2)
  let filled = 0
  let at = 0
  for (const length of lengths) {
    // An empty packet would be concealed as a lost one.
    if (length === 0) return { rejected: "a packet is empty" }
    if (length > maxPacketBytes) return { rejected: `a packet has more than ${maxPacketBytes} bytes` }
    let decoded
    // edge: the library throws libopus' errors. Anything else, such as a trap, leaves its memory unknown and ends the thread.
    try {
      decoded = decoder.decode(packets.subarray(at, at + length))
    } catch (cause) {
      if (!cause.message.startsWith("opus: ")) throw cause
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

/** Requests of libopus (`opus_defines.h`). */
const ctl = { bitrate: 4002, vbr: 4006, complexity: 4010, predictionDisabled: 4042 }

/** One channel without SILK, at a constant rate: every packet has the same size. `lead` packets are encoded and discarded. */
const encode = ({ bitrate, codecRate, lead, origin, packets, pcm, sampleRate, start }) => {
  const encoder = new Encoder({ channels: 1, sample_rate: codecRate, application: "restricted_lowdelay" })
  encoder.ctl(ctl.vbr, 0)
  encoder.ctl(ctl.bitrate, bitrate)
  encoder.ctl(ctl.complexity, 5)
  const frame = codecRate / 50
  const count = (lead + packets) * frame
  const input = sampleRate === codecRate ? pcm : Resampler.resample(pcm, origin, sampleRate, codecRate, start, count)
  const encoded = []
  for (let index = 0; index < lead + packets; index++) {
    // The first one is decoded after a packet that this encoder has not made.
    encoder.ctl(ctl.predictionDisabled, index === lead ? 1 : 0)
    const packet = encoder.encode(input.subarray(index * frame, (index + 1) * frame))
    if (index >= lead) encoded.push(packet)
  }
  encoder.drop()
  const bytes = new Uint8Array(encoded.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const packet of encoded) {
    bytes.set(packet, at)
    at += packet.length
  }
  return { bytes }
}

const jobs = { decode, encode }

parentPort?.on("message", (request) => {
  const started = performance.now()
  const reply = jobs[request.operation](request)
  const transfer = reply.bytes === undefined ? [] : [reply.bytes.buffer]
  parentPort?.postMessage({ ...reply, seconds: (performance.now() - started) / 1_000 }, transfer)
})
