/** The id of an audio file, stable while the file grows. */
import { createHash } from "node:crypto"
import type { AudioFile } from "./Timeline.ts"

type Head = Pick<AudioFile<unknown>, "start" | "sampleRate" | "codec">

/** A UUID of version 8 (RFC 9562, section 5.8): SHA-256 of the file's immutable properties. */
export function fileId(uid: string, conversation: string, { codec, sampleRate, start }: Head): string {
  // Unambiguous: neither ids nor numbers contain a slash.
  const name = [uid, conversation, start, sampleRate, codec].join("/")
  const hex = createHash("sha256").update(name).digest("hex")
  const variant = ((Number.parseInt(hex.slice(16, 17), 16) & 0x3) | 0x8).toString(16)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}
