/** Codec of the messages of `WS /v1/trigger/listen`. */
import * as Json from "../Json.ts"

const opcodes = { audio: 101, conversation: 103, ack: 203, notice: 204 } as const

/** Selects the conversation of the following audio. */
export function conversation(id: string): Uint8Array<ArrayBuffer> {
  const name = new TextEncoder().encode(id)
  const message = new Uint8Array(4 + name.length)
  new DataView(message.buffer).setUint32(0, opcodes.conversation, true)
  message.set(name, 4)
  return message
}

/** `start`: Unix seconds of the first sample. `pcm`: PCM16 LE mono. */
export function audio(start: number, pcm: Uint8Array): Uint8Array<ArrayBuffer> {
  const message = new Uint8Array(12 + pcm.length)
  const view = new DataView(message.buffer)
  view.setUint32(0, opcodes.audio, true)
  view.setFloat64(4, start, true)
  message.set(pcm, 12)
  return message
}

export type Inbound =
  /** Audio before Unix second `through` is durable. */
  | { readonly kind: "ack"; readonly conversation: string; readonly through: number }
  | { readonly kind: "notice"; readonly type: string; readonly detail: string }
  | { readonly kind: "other" }

const ack = Json.record({ conversation_id: Json.text, through: Json.number })
const notice = Json.record({ type: Json.text, detail: Json.text })

export function decode(data: ArrayBuffer): Inbound {
  if (data.byteLength < 4) return { kind: "other" }
  const opcode = new DataView(data).getUint32(0, true)
  const json = () => new TextDecoder().decode(new Uint8Array(data, 4))
  if (opcode === opcodes.ack) {
    const { conversation_id, through } = Json.parse(ack, json())
    return { kind: "ack", conversation: conversation_id, through }
  }
  return opcode === opcodes.notice ? { kind: "notice", ...Json.parse(notice, json()) } : { kind: "other" }
}
