/** Client codec of the capture socket's messages: a u32 LE opcode, then the payload. */
import { Option, Schema } from "effect"

const AUDIO = 101
const CONVERSATION = 103
const TIMELINE = 202
const ACK = 203
const NOTICE = 204

const Ack = Schema.Struct({ conversation_id: Schema.String, through: Schema.Finite, bytes: Schema.Finite })
const Notice = Schema.Struct({ type: Schema.String, detail: Schema.optional(Schema.String) })

export type Received =
  /** The server records exact timestamps. */
  | { readonly _tag: "Timeline" }
  /** Audio before Unix second `through` is durable. */
  | { readonly _tag: "Ack"; readonly conversation: string; readonly through: number }
  | { readonly _tag: "Notice"; readonly type: string; readonly detail: string | undefined }

const decodeAck = Schema.decodeUnknownOption(Schema.fromJsonString(Ack))
const decodeNotice = Schema.decodeUnknownOption(Schema.fromJsonString(Notice))

/** `start`: Unix seconds of the first sample. `pcm`: PCM16 LE mono. */
export function audio(start: number, pcm: Uint8Array): Uint8Array {
  const frame = new Uint8Array(12 + pcm.length)
  const view = new DataView(frame.buffer)
  view.setUint32(0, AUDIO, true)
  view.setFloat64(4, start, true)
  frame.set(pcm, 12)
  return frame
}

export function conversation(id: string): Uint8Array {
  const text = new TextEncoder().encode(id)
  const frame = new Uint8Array(4 + text.length)
  new DataView(frame.buffer).setUint32(0, CONVERSATION, true)
  frame.set(text, 4)
  return frame
}

/** None for unknown opcodes, so that newer servers can add some. */
export function decode(frame: Uint8Array): Option.Option<Received> {
  if (frame.length < 4) return Option.none()
  const opcode = new DataView(frame.buffer, frame.byteOffset).getUint32(0, true)
  const text = new TextDecoder().decode(frame.subarray(4))
  if (opcode === TIMELINE) return Option.some({ _tag: "Timeline" })
  if (opcode === ACK) {
    return Option.map(decodeAck(text), ({ conversation_id, through }) => ({
      _tag: "Ack",
      conversation: conversation_id,
      through
    }))
  }
  if (opcode !== NOTICE) return Option.none()
  return Option.map(decodeNotice(text), ({ detail, type }) => ({ _tag: "Notice", type, detail }))
}
