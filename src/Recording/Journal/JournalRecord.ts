/**
 * One record of the journal: a run of one chunk's audio, with everything needed to place it after a crash.
 *
 * Little-endian: magic u32, CRC32C u32 (of all that follows), head length u32, audio length u32, offset of the audio in its
 * chunk u32 (in bytes of PCM16, whatever the codec), sample rate u32, start of the chunk f64 (Unix seconds), chunk id 16 bytes, codec u8, uid length u8,
 * conversation length u8, number of clock shifts u8, clock shifts f64 each (seconds), uid, conversation; then the audio. The
 * lengths are under the CRC as well. Version 1 (`SPJ1`) has no clock shift, version 2 (`SPJ2`) one, and version 3 (`SPJ3`) as many
 * as the number says, which is 0 in the other two. Each record has the lowest version that fits it, so that
 * earlier releases can read it.
 */
import { crc32c } from "@node-rs/crc32"
import type { Span } from "../../Audio.ts"
import * as ChunkId from "./ChunkId.ts"
import { maxBands } from "./ClockShifts.ts"

/** Common prefix of the magic of all versions. */
export const magicBytes = Buffer.from("SPJ", "latin1")
const magicOf = (version: number) => Buffer.from(`SPJ${version}`, "latin1").readUInt32LE(0)
const [magic, magicShifted, magicSeveral] = [magicOf(1), magicOf(2), magicOf(3)]
const fixedBytes = 52
const shiftBytes = 8
const codecs: ReadonlyArray<Span.Codec> = ["pcm16", "opus"]

/** The number of clock shifts in the head at `at`; undefined if no head begins there. */
const shiftCount = (source: Buffer, at: number): number | undefined => {
  switch (source.readUInt32LE(at)) {
    case magic:
      return 0
    case magicShifted:
      return 1
    case magicSeveral:
      return source[at + 51]
  }
  return undefined
}

export interface ChunkHead extends Pick<Span.Span, "start" | "sampleRate"> {
  readonly id: string
  readonly uid: string
  readonly conversation: string
  readonly codec: Span.Codec
  /** See `ClockShifts`; default none. */
  readonly clockShifts?: ReadonlyArray<number>
}

export interface JournalRecord extends ChunkHead {
  readonly clockShifts: ReadonlyArray<number>
  /** Sample of the chunk at which the audio begins. */
  readonly chunkSample: number
  readonly audioOffset: number
  readonly audioLength: number
}

/** The head of a chunk's records, encoded once; offset, length and CRC are filled in per record. */
export function encodeHead(head: ChunkHead): Buffer {
  const uid = Buffer.from(head.uid, "latin1")
  const conversation = Buffer.from(head.conversation, "latin1")
  const { clockShifts = [] } = head
  const names = fixedBytes + clockShifts.length * shiftBytes
  const bytes = Buffer.alloc(names + uid.length + conversation.length)
  bytes.writeUInt32LE([magic, magicShifted][clockShifts.length] ?? magicSeveral, 0)
  bytes.writeUInt32LE(bytes.length, 8)
  bytes.writeUInt32LE(head.sampleRate, 20)
  bytes.writeDoubleLE(head.start, 24)
  bytes.set(ChunkId.bytesOf(head.id), 32)
  bytes[48] = codecs.indexOf(head.codec)
  bytes[49] = uid.length
  bytes[50] = conversation.length
  if (clockShifts.length > 1) bytes[51] = clockShifts.length
  for (const [index, shift] of clockShifts.entries()) bytes.writeDoubleLE(shift, fixedBytes + index * shiftBytes)
  bytes.set(uid, names)
  bytes.set(conversation, names + uid.length)
  return bytes
}

/** Writes a record at `at`; returns the offset after it. `target` must have room for head and audio. */
export function writeRecord(target: Buffer, at: number, head: Buffer, chunkSample: number, audio: Uint8Array): number {
  const end = at + head.length + audio.length
  target.set(head, at)
  target.writeUInt32LE(audio.length, at + 12)
  target.writeUInt32LE(chunkSample * 2, at + 16)
  target.set(audio, at + head.length)
  target.writeUInt32LE(crc32c(target.subarray(at + 8, end)), at + 4)
  return end
}

/** The end of the record at `at` by its own lengths, without a check of its CRC; `undefined` if its head is invalid. */
export function claimedEnd(source: Buffer, at: number): number | undefined {
  if (source.length - at < fixedBytes) return undefined
  const headLength = source.readUInt32LE(at + 8)
  const audioLength = source.readUInt32LE(at + 12)
  const shifts = shiftCount(source, at)
  if (shifts === undefined || shifts > maxBands || audioLength > maxAudioBytes) return undefined
  const names = (source[at + 49] ?? 0) + (source[at + 50] ?? 0)
  if (headLength !== fixedBytes + shifts * shiftBytes + names) return undefined
  return at + headLength + audioLength
}

/** The record at `at`; `undefined` if it is torn or corrupt, `"more"` if the buffer ends within it. */
export function readRecord(source: Buffer, at: number): JournalRecord | "more" | undefined {
  if (source.length - at < fixedBytes) return "more"
  const end = claimedEnd(source, at)
  const codec = codecs[source[at + 48] ?? -1]
  if (end === undefined || codec === undefined) return undefined
  if (source.length < end) return "more"
  if (crc32c(source.subarray(at + 8, end)) !== source.readUInt32LE(at + 4)) return undefined
  const shiftsAt = at + fixedBytes
  const shifts = shiftCount(source, at) ?? 0
  const names = shiftsAt + shifts * shiftBytes
  const conversation = names + (source[at + 49] ?? 0)
  const audioOffset = conversation + (source[at + 50] ?? 0)
  return {
    id: ChunkId.textOf(source.subarray(at + 32, at + 48)),
    uid: source.toString("latin1", names, conversation),
    conversation: source.toString("latin1", conversation, audioOffset),
    start: source.readDoubleLE(at + 24),
    sampleRate: source.readUInt32LE(at + 20),
    codec,
    clockShifts: Array.from({ length: shifts }, (_, index) => source.readDoubleLE(shiftsAt + index * shiftBytes)),
    chunkSample: source.readUInt32LE(at + 16) / 2,
    audioOffset,
    audioLength: end - audioOffset
  }
}

/** Longest audio in one record; a length beyond it is corruption. */
export const maxAudioBytes = 8 * 1024 * 1024

/** Longest head: the fixed part, the clock shifts, and two ids of 128 characters. */
export const maxHeadBytes = fixedBytes + maxBands * shiftBytes + 256

/** A record without audio that belongs to no chunk; recovery skips it. */
export const emptyRecord: Uint8Array = (() => {
  const head = encodeHead({
    id: ChunkId.textOf(new Uint8Array(16)),
    uid: "",
    conversation: "",
    start: 0,
    sampleRate: 0,
    codec: "pcm16"
  })
  const record = Buffer.alloc(head.length)
  writeRecord(record, 0, head, 0, new Uint8Array(0))
  return record
})()
