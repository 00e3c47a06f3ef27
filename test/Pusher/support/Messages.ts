/** Random and hostile messages of a capture socket. */
import { OpusPacket } from "../../../src/Audio.ts"
import * as Protocol from "../../../src/Pusher/Protocol.ts"
import { packet } from "../../Recording/support/OpusPackets.ts"
import { audioFrame, switchTo } from "../../support/Capturer.ts"

export type Next = () => number

export const below = (next: Next, bound: number) => Math.floor(next() * bound)

export const pick = <A>(next: Next, all: ReadonlyArray<A>): A => {
  const one = all[below(next, all.length)]
  if (one === undefined) throw new Error("there is nothing to pick from")
  return one
}

export const message = (opcode: number, body: Uint8Array | string = "") => {
  const head = Buffer.alloc(4)
  head.writeUInt32LE(opcode)
  return Buffer.concat([head, typeof body === "string" ? Buffer.from(body) : body])
}

const noise = Buffer.from(Array.from({ length: 4096 }, (_, index) => Math.imul(index, 2_654_435_761) >>> 13))
const bytes = (next: Next, most: number) => {
  const from = below(next, noise.length - most)
  return Buffer.from(noise.subarray(from, from + below(next, most)))
}

const deep = (open: string, close: string, levels: number) => open.repeat(levels) + close.repeat(levels)
const segment = { text: "hello", start: 0, end: 1, speaker: "SPEAKER_00", is_user: true, person_id: null }
const jobOf = (fields: object) => JSON.stringify({ conversation_id: "a", language: "en", ...fields })

/** Texts of 102, 104 and 105: usable, unusable, and as hostile as JSON can be. */
const texts: ReadonlyArray<string> = [
  JSON.stringify({ segments: [segment], memory_id: "a" }),
  JSON.stringify({ segments: [segment], memory_id: null }),
  JSON.stringify({ segments: Array.from({ length: 1001 }, () => segment), memory_id: "a" }),
  JSON.stringify({ segments: [null, 1, "x", [], {}, { start: "1", end: {} }], memory_id: 7 }),
  JSON.stringify({ segments: { length: -1 }, memory_id: "../../etc/passwd" }),
  JSON.stringify({ segments: [{ ...segment, start: 1e308, end: -1e308, text: "\u0000\ud800" }], memory_id: "a" }),
  '{"segments":[{"start":1e999,"end":-1e999}],"memory_id":"a"}',
  '{"__proto__":{"segments":[]},"constructor":{"prototype":{"memory_id":"x"}},"segments":[],"memory_id":"a"}',
  '{"segments":[],"segments":[{}],"memory_id":"a","memory_id":"b"}',
  jobOf({}),
  jobOf({ byok_keys: { openai: "k".repeat(5_000) }, finalization_job_id: "j", dispatch_generation: 1 }),
  jobOf({ conversation_id: null }),
  jobOf({ conversation_id: "a".repeat(129), dispatch_generation: Number.MAX_SAFE_INTEGER + 2 }),
  jobOf({ finalization_job_id: "'; drop table chunks; --", dispatch_generation: -1, finalization_result_protocol: 3 }),
  jobOf({ language: "\u0000", finalization_job_id: "\u0000" }),
  JSON.stringify({ person_id: "p", conversation_id: "a", segment_ids: ["s"] }),
  JSON.stringify({ person_id: [], conversation_id: {}, segment_ids: "s" }),
  deep("[", "]", 20_000),
  deep('{"a":', "}", 5_000),
  `{"a":${"9".repeat(10_000)}}`,
  `"${"\\ud83d".repeat(2_000)}"`,
  "\ufeff{}",
  "null",
  "true",
  "[]",
  "{}",
  "{",
  "",
  "\u0000",
  "NaN",
  "1e400"
]

const ids = [
  "a",
  "b",
  "c-1",
  "d.e",
  "",
  ".",
  "..",
  "../x",
  "a/b",
  "a b",
  "\u0000",
  "é",
  "x".repeat(128),
  "x".repeat(129)
]
const starts = [0, -0, -1, 1, 1_700_000_000, 9_999_999_999, 1e10, 1e300, 5e-324, Number.NaN, Infinity, -Infinity]
const codes: ReadonlyArray<number> = [...Object.values(Protocol.opcodes), 0, 1, 99, 106, 200, 205, 2 ** 31, 2 ** 32 - 1]

/** A message of the protocol whose bodies are mostly usable. `time` is the start of its audio. */
const usable = (next: Next, time: number): Buffer => {
  switch (below(next, 8)) {
    case 0:
      return message(Protocol.opcodes.heartbeat)
    case 1:
      return switchTo(pick(next, ids.slice(0, 4)))
    case 2:
      return message(
        pick(next, [Protocol.opcodes.transcript, Protocol.opcodes.finish, Protocol.opcodes.speakerSample]),
        pick(next, texts)
      )
    case 3:
      return audioFrame(time, OpusPacket.join([packet(next), packet(next)]))
    default:
      return audioFrame(time, bytes(next, 2_000).subarray(below(next, 2)))
  }
}

/** A message with bytes changed, removed, repeated or added. */
const mutated = (next: Next, original: Buffer): Buffer => {
  const at = below(next, original.length + 1)
  switch (below(next, 5)) {
    case 0:
      return original.subarray(0, at)
    case 1:
      return Buffer.concat([original, bytes(next, 64)])
    case 2:
      return Buffer.concat([original.subarray(0, at), bytes(next, 16), original.subarray(at)])
    case 3:
      return Buffer.concat([original, original])
    default: {
      const copy = Buffer.from(original)
      for (let count = 1 + below(next, 4); count > 0 && copy.length > 0; count--)
        copy[below(next, copy.length)] = below(next, 256)
      return copy
    }
  }
}

/** One message in eight is mutated, one in eight breaks a rule on purpose; the others are usable. */
export const anyMessage = (next: Next, time: number): Buffer => {
  const kind = below(next, 8)
  if (kind === 0) return mutated(next, usable(next, time))
  if (kind > 1) return usable(next, time)
  switch (below(next, 4)) {
    case 0:
      return message(pick(next, codes), bytes(next, 300))
    case 1:
      return switchTo(pick(next, ids))
    case 2:
      return audioFrame(pick(next, starts), bytes(next, 50))
    default:
      return bytes(next, 40)
  }
}

/** Returns one of many messages each time, one in eight with another byte changed: faster than making each anew. */
export const messagesOf = (next: Next) => {
  const all = Array.from({ length: 3_000 }, (_, index) => anyMessage(next, 1_700_000_000 + index / 10))
  return () => {
    const one = pick(next, all)
    if (next() > 0.125 || one.length === 0) return one
    const copy = Buffer.from(one)
    copy[below(next, Math.min(one.length, 32))] = below(next, 256)
    return copy
  }
}
