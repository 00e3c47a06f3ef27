/** Messages of the capture socket: an opcode (u32 LE), then the payload. */

const opcodes = { heartbeat: 100, audio: 101, conversation: 103, ack: 203, notice: 204 } as const

/** `pcm16`: samples of 16 bits, little-endian, one channel. `opus`: packets, each after its length (u16 LE). */
export type Codec = "pcm16" | "opus"

export interface Acknowledgement {
  readonly conversation: string
  /** Unix seconds: the audio before is on the server's disk, and before `stored`, where that is defined, in its store. */
  readonly through: number
  /** Audio bytes that this covers, counted from the last selection of the conversation on the connection. */
  readonly bytes: number
  readonly stored: number | undefined
}

export interface Notice {
  /** `draining`, `limit`, `lost`, `deleted`, `clock`, or one of a newer server. */
  readonly type: string
  readonly detail: string
  /** `clock`: seconds by which the audio lies later than its timestamps. */
  readonly shift: number | undefined
  /** The server stores no audio of this user and acknowledges none, but takes it for those who listen live. */
  readonly isUnstored: boolean
}

export type Received =
  | { readonly kind: "acknowledgement"; readonly acknowledgement: Acknowledgement }
  | { readonly kind: "notice"; readonly notice: Notice }

export const audioHead = 12

const message = (opcode: number, bytes: number): Uint8Array<ArrayBuffer> => {
  const made = new Uint8Array(bytes)
  new DataView(made.buffer).setUint32(0, opcode, true)
  return made
}

export const heartbeat: Uint8Array<ArrayBuffer> = message(opcodes.heartbeat, 4)

export function conversation(id: string): Uint8Array<ArrayBuffer> {
  const name = new TextEncoder().encode(id)
  const made = message(opcodes.conversation, 4 + name.length)
  made.set(name, 4)
  return made
}

/** Copies the audio. `start`: Unix seconds of its first sample. */
export function audio(start: number, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const made = message(opcodes.audio, audioHead + bytes.length)
  new DataView(made.buffer).setFloat64(4, start, true)
  made.set(bytes, audioHead)
  return made
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null

export function parseRecord(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    return isRecord(value) ? value : {}
  } catch {
    return {}
  }
}

const numberOf = (value: unknown): number | undefined => (typeof value === "number" ? value : undefined)

export function textOf(value: unknown): string {
  return typeof value === "string" ? value : ""
}

/** Undefined for all other messages, so that newer servers can add some. */
export function decode(data: ArrayBuffer): Received | undefined {
  if (data.byteLength < 4) return undefined
  const opcode = new DataView(data).getUint32(0, true)
  if (opcode !== opcodes.ack && opcode !== opcodes.notice) return undefined
  const fields = parseRecord(new TextDecoder().decode(new Uint8Array(data, 4)))
  if (opcode === opcodes.notice) {
    const { detail, shift, stored, type } = fields
    const said = { type: textOf(type), detail: textOf(detail), shift: numberOf(shift) }
    return { kind: "notice", notice: { ...said, isUnstored: stored === false } }
  }
  const [bytes, through] = [numberOf(fields["bytes"]), numberOf(fields["through"])]
  if (bytes === undefined || through === undefined) return undefined
  const acknowledged = { conversation: textOf(fields["conversation_id"]), stored: numberOf(fields["stored"]) }
  return { kind: "acknowledgement", acknowledgement: { ...acknowledged, through, bytes } }
}
