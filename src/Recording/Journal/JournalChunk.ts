/** A chunk in the journal: its extents, and its progress to the store. */
import { Peaks, type Span } from "../../Audio.ts"
import { type Chunk, objectKey } from "../Chunk.ts"
import * as ChunkId from "./ChunkId.ts"
import { ClockShifts } from "./ClockShifts.ts"
import { type ChunkHead, encodeHead } from "./JournalRecord.ts"
import { type Extent, Extents, type RecordExtent } from "./Extents.ts"

/**
 * `open`: a capture appends. `sealing`: closed, not completely durable. `waiting`: durable, not queued. `queued`,
 * `uploading`: owned by the uploads. `retained`: stored, and still in the journal. `released`: stored or discarded; its extents
 * are dead.
 */
export type JournalChunkState = "open" | "sealing" | "waiting" | "queued" | "uploading" | "retained" | "released"

export class JournalChunk {
  readonly id: string
  readonly uid: string
  readonly conversation: string
  readonly start: number
  readonly sampleRate: number
  readonly codec: Span.Codec
  /** Clock milliseconds. */
  readonly openedAt: number
  /** The chunk named in the records, and the sample of it at which this one begins. Differs only after a hole. */
  readonly origin: { readonly id: string; readonly start: number; readonly sample: number }
  /** In order, contiguous from 0; `durable` bytes in total. */
  readonly extents = new Extents()
  /** Covers audio written by this process only. */
  readonly peaks: Peaks.Peaks
  /** The last result of `toChunk`, and its `nameAttempts`. */
  #chunk: Chunk | undefined
  #chunkAttempts = 0
  /** Encoded when it is needed. */
  #head: Buffer | undefined
  /** Few chunks have any. */
  #clockShifts: ClockShifts | undefined
  state: JournalChunkState = "open"
  /** Bytes handed to the journal's next commit, or already in it. */
  appended = 0
  appendedSamples = 0
  /** Bytes that are fsynced. */
  durable = 0
  durableSamples = 0
  /** This process, or the one that recorded it, may have put its object. */
  mayBeStored = false
  nameAttempts = 0
  /** The chunk began while the stored audio of its conversation was unknown. */
  isUnchecked = false
  /** First round in which the sweep offers it. */
  dueRound = 0
  /** Uploads that failed because of this chunk; they double the pause before the next one. */
  refusals = 0
  /** Clock milliseconds; 0 if a previous process sealed it. */
  sealedAt = 0

  constructor(
    head: ChunkHead,
    openedAt: number,
    origin: JournalChunk["origin"] = { id: head.id, start: head.start, sample: 0 }
  ) {
    this.id = head.id
    this.uid = head.uid
    this.conversation = head.conversation
    this.start = head.start
    this.sampleRate = head.sampleRate
    this.codec = head.codec
    this.peaks = new Peaks.Peaks(head.sampleRate)
    this.openedAt = openedAt
    this.origin = origin
    for (const shift of head.clockShifts ?? []) this.addClockShift(shift)
  }

  get head(): Buffer {
    this.#head ??= this.#encodeHead()
    return this.#head
  }

  /** See `ClockShifts`. */
  get clockShifts(): ReadonlyArray<number> {
    return this.#clockShifts?.all ?? []
  }

  /** Audio appended from here on is placed `shift` seconds after its timestamps. */
  addClockShift(shift: number): void {
    if (shift <= 0) return
    this.#clockShifts ??= new ClockShifts()
    if (this.#clockShifts.add(shift)) this.#head = undefined
  }

  /** The node knew the purges up to then when the chunk was opened: milliseconds of the database's clock. */
  get knownAt(): number {
    return ChunkId.knownAt(this.origin.id)
  }

  get key(): string {
    return objectKey(this, this.nameAttempts)
  }

  /** Unix second at which the appended audio ends. */
  get appendedEnd(): number {
    return this.start + this.appendedSamples / this.sampleRate
  }

  /** Unix second at which the durable audio ends. */
  get durableEnd(): number {
    return this.start + this.durableSamples / this.sampleRate
  }

  addExtent(extent: RecordExtent): void {
    this.extents.push(extent)
    this.durable += extent.length
    this.durableSamples += extent.samples
  }

  /** What is appended is what is durable: the rest was dropped, or there is none. */
  settle(): void {
    this.appended = this.durable
    this.appendedSamples = this.durableSamples
  }

  /** Frees what only more audio needs: thousands of sealed chunks wait while the store is unavailable. */
  compact(): void {
    this.extents.compact()
    this.peaks.compact()
    this.#head = undefined
  }

  /** Where the audio from byte `start` to `end` (exclusive) is in the segments, in order. */
  extentsIn(start: number, end: number): ReadonlyArray<Extent> {
    const found: Array<Extent> = []
    let offset = 0
    for (const { length, position, segment } of this.extents) {
      if (offset >= end) break
      const from = Math.max(start, offset)
      const to = Math.min(end, offset + length)
      if (from < to) found.push({ segment, position: position + from - offset, length: to - from })
      offset += length
    }
    return found
  }

  #encodeHead(): Buffer {
    const { clockShifts, codec, conversation, origin, sampleRate, uid } = this
    return encodeHead({
      id: origin.id,
      uid,
      conversation,
      start: origin.start,
      sampleRate,
      codec,
      clockShifts
    })
  }

  /** Cached until it changes, because requests read all chunks of a conversation in the journal. */
  toChunk(): Chunk {
    const samples = this.durableSamples
    const state = this.state === "open" ? ("open" as const) : ("sealed" as const)
    const known = this.#chunk
    if (known?.samples === samples && known.state === state && this.#chunkAttempts === this.nameAttempts) return known
    const { clockShifts, codec, conversation, id, key, sampleRate, start, uid } = this
    const chunk = { id, uid, conversation, start, samples, sampleRate, codec, state, clockShifts, key }
    this.#chunk = chunk
    this.#chunkAttempts = this.nameAttempts
    return chunk
  }
}
