/** The binary messages of `WS /v1/trigger/listen`, compatible with omi's pusher; 203 and 204 are sent only to clients that ask for them. */
import { Option, Result, Schema } from "effect"
import { OpusPacket, Span } from "../Audio.ts"
import { Id } from "../Id.ts"
import type { Acknowledgement } from "../Recording.ts"

export const opcodes = {
  heartbeat: 100,
  audio: 101,
  transcript: 102,
  conversation: 103,
  finish: 104,
  speakerSample: 105,
  finished: 201,
  timeline: 202,
  ack: 203,
  notice: 204
} as const

/** Messages with JSON, each handled by the module that registers for its opcode. */
export type JsonOpcode = typeof opcodes.transcript | typeof opcodes.finish | typeof opcodes.speakerSample

const isJson = (opcode: number): opcode is JsonOpcode =>
  opcode === opcodes.transcript || opcode === opcodes.finish || opcode === opcodes.speakerSample

/** Close codes of RFC 6455. */
export const closeCodes = {
  goingAway: 1001,
  badFrame: 1003,
  policy: 1008,
  internal: 1011,
  later: 1013
} as const

export type Inbound =
  | { readonly _tag: "Heartbeat" }
  /** `start`: Unix seconds of the first sample. `audio` is a view of the message. */
  | { readonly _tag: "Audio"; readonly start: number; readonly audio: Uint8Array }
  | { readonly _tag: "Conversation"; readonly id: string }
  /** `text` is a view of the message. */
  | { readonly _tag: "Json"; readonly opcode: JsonOpcode; readonly text: Buffer }
  | { readonly _tag: "Malformed"; readonly reason: string }

/** Year 2286. Object names have ten digits before the point. */
const maxStart = 9_999_999_999

/** Bytes of an audio message before its audio: the opcode and the start. */
export const audioHead = 12

const malformed = (reason: string): Inbound => ({ _tag: "Malformed", reason })
const heartbeat: Inbound = { _tag: "Heartbeat" }
const isId = Schema.is(Id)

/** What is wrong with the audio; undefined if nothing is. */
const problemOf = (codec: Span.Codec, audio: Uint8Array): string | undefined => {
  if (codec === "opus") return OpusPacket.problemOf(audio)
  return audio.length % 2 === 0 ? undefined : "half a sample: PCM16 has 2 bytes each"
}

/** Never throws. Reasons fit into a close frame (123 bytes). */
export function decode(message: Buffer, codec: Span.Codec): Inbound {
  if (message.length < 4) return malformed("a message starts with a 4-byte opcode")
  const opcode = message.readUInt32LE(0)
  if (opcode === opcodes.audio) {
    if (message.length < audioHead)
      return malformed("audio (101) starts with the Unix seconds of its first sample, f64")
    const start = message.readDoubleLE(4)
    if (!(start >= 0 && start <= maxStart)) return malformed("audio (101) has a start that is not in Unix seconds")
    const audio = message.subarray(audioHead)
    const problem = problemOf(codec, audio)
    return problem === undefined ? { _tag: "Audio", start, audio } : malformed(`audio (101) has ${problem}`)
  }
  if (opcode === opcodes.conversation) {
    const id = message.toString("utf8", 4)
    return isId(id) ? { _tag: "Conversation", id } : malformed("a conversation id has 1-128 characters A-Za-z0-9._-")
  }
  if (opcode === opcodes.heartbeat) {
    return message.length === 4 ? heartbeat : malformed("a heartbeat (100) has nothing after its opcode")
  }
  if (isJson(opcode)) return { _tag: "Json", opcode, text: message.subarray(4) }
  return malformed(`unknown opcode ${opcode}`)
}

export function withJson(opcode: number, json: unknown): Buffer {
  const text = Buffer.from(JSON.stringify(json))
  const message = Buffer.allocUnsafe(4 + text.length)
  message.writeUInt32LE(opcode, 0)
  message.set(text, 4)
  return message
}

export const timeline: Buffer = withJson(opcodes.timeline, { type: "audio_timeline_ack", version: 2 })

/** Without audio that is stored, `stored` is left out. */
export function ack({ bytes, conversation, stored, through }: Acknowledgement): Buffer {
  return withJson(opcodes.ack, { conversation_id: conversation, through, bytes, stored })
}

export type NoticeType = "draining" | "limit" | "deleted"

export function notice(type: NoticeType, detail: string): Buffer {
  return withJson(opcodes.notice, { type, detail })
}

/** The user has not agreed to storage: the audio is not acknowledged, and the socket stays open. */
export const unstoredNotice: Buffer = withJson(opcodes.notice, {
  type: "limit",
  stored: false,
  detail: "the user's settings say that audio is not stored"
})

/** Acknowledged audio from Unix second `start` was given up. */
export function lostNotice(lost: { readonly conversation: string; readonly start: number; readonly seconds: number }) {
  return withJson(opcodes.notice, {
    type: "lost",
    conversation_id: lost.conversation,
    start: lost.start,
    seconds: lost.seconds,
    detail: "the node had no room for this audio, although it was acknowledged: send it again if you still have it"
  })
}

/** Audio was placed `shift` seconds later than its timestamps. */
export function clockNotice(shift: number): Buffer {
  return withJson(opcodes.notice, {
    type: "clock",
    shift: Math.round(shift * 1e6) / 1e6,
    detail: "other audio is recorded at these times: this audio is placed after it"
  })
}

const flag = (on: string) => Schema.optionalKey(Schema.Literals([on, "0"]))

/** What an app says it is, such as `omi_backend`. */
const ClientKind = Schema.String.check(Schema.isPattern(/^[A-Za-z0-9._-]{1,64}$/))

/** The query of the upgrade. Other parameters are ignored. */
export const Query = Schema.Struct({
  sample_rate: Schema.optionalKey(
    Schema.FiniteFromString.check(Schema.isInt(), Schema.isBetween({ minimum: 8_000, maximum: 48_000 }))
  ),
  codec: Schema.optionalKey(Span.Codec),
  audio_timeline: flag("2"),
  ack: Schema.optionalKey(Schema.Literals(["1", "store", "0"])),
  client_kind: Schema.optionalKey(ClientKind)
})

const acks = { "1": "disk", store: "store", "0": "none" } as const

const decodeQuery = Schema.decodeUnknownOption(Query)

interface CaptureQuery {
  readonly sampleRate: number
  readonly codec: Span.Codec
  readonly exact: boolean
  /** Which acknowledgements are sent: of audio on this node's disk, of audio in the object store, or none. */
  readonly acks: "disk" | "store" | "none"
  readonly clientKind: string
}

const validParameters: Readonly<Record<keyof typeof Query.Type, string>> = {
  sample_rate: "a whole number from 8000 to 48000",
  codec: "pcm16 or opus",
  audio_timeline: "2 or 0",
  ack: "1, store or 0",
  client_kind: "1-64 characters A-Za-z0-9._-"
}

/** Why the query is invalid. Fits into a close frame. */
const queryProblem = (given: Readonly<Record<string, string>>): string => {
  const [name, valid] = Object.entries(validParameters).find(
    ([name]) => name in given && Option.isNone(decodeQuery({ [name]: given[name] }))
  ) ?? ["", ""]
  return `bad query: ${name} must be ${valid}`
}

/** Fails with the reason for a close frame. */
export function query(url: string): Result.Result<CaptureQuery, string> {
  const given = Object.fromEntries(URL.parse(url, "ws://node")?.searchParams ?? [])
  return Option.match(decodeQuery(given), {
    onNone: () => Result.fail(queryProblem(given)),
    onSome: ({ ack = "0", audio_timeline, client_kind = "", codec = "pcm16", sample_rate = 16_000 }) =>
      codec === "opus" && !OpusPacket.sampleRates.includes(sample_rate)
        ? Result.fail(`bad query: with codec=opus, sample_rate must be one of ${OpusPacket.sampleRates.join(", ")}`)
        : Result.succeed({
            sampleRate: sample_rate,
            codec,
            exact: audio_timeline === "2",
            acks: acks[ack],
            clientKind: client_kind
          })
  })
}
