/** Frames of WebSocket messages, as the system returns their bytes. */
import { audioFrame } from "../../support/Capturer.ts"

/** Bytes as the system returns them: alone in their memory. */
export const packet = (...parts: ReadonlyArray<Uint8Array>): Buffer => {
  const bytes = Buffer.from(new ArrayBuffer(parts.reduce((sum, { length }) => sum + length, 0)))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

const head = (payload: number) => Buffer.alloc(payload < 126 ? 6 : payload < 65_536 ? 8 : 14)

/** A message, and the packet that has it alone in one frame: its payload is a view, as in `ws`. */
export const framed = (samples: number) => {
  const message = audioFrame(1_700_000_000, new Uint8Array(samples * 2).fill(7))
  const bytes = packet(head(message.length), message)
  return { bytes, message: bytes.subarray(head(message.length).length) }
}
