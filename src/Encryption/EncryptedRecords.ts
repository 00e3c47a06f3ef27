/**
 * The format of encrypted audio and peaks: consecutive records of u32 BE length of the rest of the record, 12 bytes of nonce,
 * AES-256-GCM ciphertext and 16 bytes of tag. Records hold 64 KiB of audio, so that a range needs only its own records;
 * other lengths can be read.
 */
import { Option } from "effect"
import * as Cipher from "./Cipher.ts"

/** Bytes of audio in every record but the last. */
export const recordSize = 65_536

const lengthSize = 4
const overhead = Cipher.nonceSize + Cipher.tagSize

/** Bytes that a record adds to its audio. */
const frame = lengthSize + overhead

/** Longest record that is accepted, so that a damaged length is rejected. */
const largestRecord = 64 * 1_024 * 1_024

/** Encrypted size of `size` bytes of audio. */
export function encryptedSize(size: number): number {
  return size + Math.ceil(size / recordSize) * frame
}

export function encrypt(key: Cipher.Key, audio: Uint8Array): Uint8Array {
  const out = Buffer.allocUnsafeSlow(encryptedSize(audio.length))
  let at = 0
  for (let from = 0; from < audio.length; from += recordSize) {
    const plain = audio.subarray(from, from + recordSize)
    at = out.writeUInt32BE(plain.length + overhead, at)
    at += Cipher.encrypt(key, plain, out.subarray(at))
  }
  return out
}

export interface Decrypted {
  readonly audio: Uint8Array
  /** The key that fits; undefined for empty audio. */
  readonly key: Cipher.Key | undefined
}

/** Decrypts all records with the first key that fits; none if any is damaged or a nonce repeats. Does not detect missing records. */
export function decrypt(keys: ReadonlyArray<Cipher.Key>, bytes: Uint8Array): Option.Option<Decrypted> {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const out = Buffer.allocUnsafeSlow(view.length)
  const nonces = new Set<string>()
  let likely = keys
  let filled = 0
  for (let at = 0; at < view.length;) {
    const length = at + lengthSize <= view.length ? view.readUInt32BE(at) : 0
    const from = at + lengthSize
    at = from + length
    if (length < overhead || length > largestRecord || at > view.length) return Option.none()
    const encrypted = view.subarray(from, at)
    const fits = likely.find((key) => Cipher.decrypt(key, encrypted, out.subarray(filled)))
    if (fits === undefined) return Option.none()
    likely = [fits]
    const nonce = encrypted.toString("latin1", 0, Cipher.nonceSize)
    if (nonces.has(nonce)) return Option.none()
    nonces.add(nonce)
    filled += length - overhead
  }
  return Option.some({ audio: out.subarray(0, filled), key: filled === 0 ? undefined : likely[0] })
}

export interface Window {
  /** Bytes of the object, `end` exclusive. */
  readonly start: number
  readonly end: number
  /** Bytes of audio in the window before the requested ones. */
  readonly skip: number
}

/** The records that hold the audio from `start` to `end` (exclusive, greater than `start`), of `size` bytes in all. */
export function windowOf(start: number, end: number, size: number): Window {
  const first = Math.floor(start / recordSize)
  const last = Math.ceil(end / recordSize)
  return {
    start: first * (recordSize + frame),
    end: Math.min(last * recordSize, size) + last * frame,
    skip: start - first * recordSize
  }
}
