/**
 * Audio at rest as records, one after the other: u32 BE length of what follows in the record, 12 bytes of nonce, the
 * AES-256-GCM ciphertext, 16 bytes of tag. We cut the audio into records of 64 KiB, so that a range of it needs only
 * its own; records of other lengths are read too.
 */
import { Option } from "effect"
import * as Cipher from "./Cipher.ts"

/** Bytes of audio in each record but the last. */
export const recordSize = 65_536

const lengthSize = 4
const overhead = Cipher.nonceSize + Cipher.tagSize

/** Bytes that a record is longer than its audio. */
const frame = lengthSize + overhead

/** No record may claim more audio than this, so that a damaged length is not believed. */
const largestRecord = 64 * 1_024 * 1_024

/** Bytes of the object that holds `size` bytes of audio. */
export function sealedSize(size: number): number {
  return size + Math.ceil(size / recordSize) * frame
}

export function seal(key: Cipher.Key, audio: Uint8Array): Uint8Array {
  const out = Buffer.allocUnsafeSlow(sealedSize(audio.length))
  let at = 0
  for (let from = 0; from < audio.length; from += recordSize) {
    const plain = audio.subarray(from, from + recordSize)
    at = out.writeUInt32BE(plain.length + overhead, at)
    at += Cipher.seal(key, plain, out.subarray(at))
  }
  return out
}

export interface Opened {
  readonly audio: Uint8Array
  /** That it was sealed with; `undefined` if there was nothing. */
  readonly key: Cipher.Key | undefined
}

/**
 * All records, with the first of the keys that fits; none if the bytes are not records that were sealed with one of them, or
 * one of them is there twice: no two records have one nonce. That none is missing or in another's place, they don't say.
 */
export function open(keys: ReadonlyArray<Cipher.Key>, bytes: Uint8Array): Option.Option<Opened> {
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
    const sealed = view.subarray(from, at)
    const fits = likely.find((key) => Cipher.open(key, sealed, out.subarray(filled)))
    if (fits === undefined) return Option.none()
    likely = [fits]
    const nonce = sealed.toString("latin1", 0, Cipher.nonceSize)
    if (nonces.has(nonce)) return Option.none()
    nonces.add(nonce)
    filled += length - overhead
  }
  return Option.some({ audio: out.subarray(0, filled), key: filled === 0 ? undefined : likely[0] })
}

export interface Window {
  /** Bytes of the object, `end` not included. */
  readonly start: number
  readonly end: number
  /** Bytes of audio in the window before the ones that are asked for. */
  readonly skip: number
}

/** The records that hold bytes `start` to `end` (not included, more than `start`) of `size` bytes of audio. */
export function windowOf(start: number, end: number, size: number): Window {
  const first = Math.floor(start / recordSize)
  const last = Math.ceil(end / recordSize)
  return {
    start: first * (recordSize + frame),
    end: Math.min(last * recordSize, size) + last * frame,
    skip: start - first * recordSize
  }
}
