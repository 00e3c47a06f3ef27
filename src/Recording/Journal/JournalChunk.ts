/** A chunk whose audio is in the journal: where it lies there, and how far it has come on its way to the store. */
import { Peaks, type Span } from "../../Audio.ts"
import { type Chunk, objectKey } from "../Chunk.ts"
import { encodeHead } from "./JournalRecord.ts"
import type { Segment } from "./Segment.ts"

/** A run of the chunk's audio in one segment of the journal. */
export interface Extent {
  readonly segment: Segment
  /** Byte offset of the audio in the segment. */
  readonly position: number
  readonly length: number
}

/**
 * `open`: a capture appends to it. `sealing`: closed, still its capture's until it is durable. `waiting`: for a queue or the
 * sweeper. `queued`, `uploading`: in the hands of the uploads. `released`: stored and in the database, or given up; its
 * extents are dead.
 */
export type LiveState = "open" | "sealing" | "waiting" | "queued" | "uploading" | "released"

export class JournalChunk {
  readonly id: Uint8Array
  readonly uid: string
  readonly conversation: string
  readonly start: number
  readonly sampleRate: number
  readonly codec: Span.Codec
  /** Clock milliseconds at which it was opened. */
  readonly openedAt: number
  /** The chunk that the journal's records name, and the byte of it at which this one begins: another one only after a hole. */
  readonly origin: { readonly id: Uint8Array; readonly start: number; readonly offset: number }
  /** By position in the chunk, contiguous from 0: together `durable` bytes. */
  readonly extents: Array<Extent> = []
  /** Of what was handed to the journal by this process. */
  readonly peaks: Peaks.Peaks
  /** As the rest of the program saw it last, and its `nameAttempts` then. */
  #chunk: Chunk | undefined
  #chunkAttempts = 0
  /** Of its records in the journal: its origin's. */
  #head: Buffer
  /** The longest time, in seconds, by which audio of the chunk lies later than its sender's stamps say; 0 for none. */
  #clockShift: number
  state: LiveState = "open"
  /** Bytes handed to the journal's next commit, or already in it. */
  appended = 0
  /** Bytes that are fsynced. */
  durable = 0
  /** Names that other objects had. */
  nameAttempts = 0
  /** The sweep's round from which on it is offered, and how often the store refused it. */
  dueRound = 0
  refusals = 0
  /** Clock milliseconds at which it was sealed; 0 if that was in another process. */
  sealedAt = 0

  constructor(
    head: {
      readonly id: Uint8Array
      readonly uid: string
      readonly conversation: string
      readonly start: number
      readonly sampleRate: number
      readonly codec: Span.Codec
      readonly clockShift?: number
    },
    openedAt: number,
    origin: JournalChunk["origin"] = { id: head.id, start: head.start, offset: 0 }
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
    this.#clockShift = head.clockShift ?? 0
    this.#head = this.#encodeHead()
  }

  get head(): Buffer {
    return this.#head
  }

  get clockShift(): number {
    return this.#clockShift
  }

  /** Audio that is appended from now on lies `shift` seconds later than its stamps. */
  addClockShift(shift: number): void {
    if (shift <= this.#clockShift) return
    this.#clockShift = shift
    this.#head = this.#encodeHead()
  }

  get key(): string {
    return objectKey(this, this.nameAttempts)
  }

  /** Unix seconds after the last sample that was handed over. */
  get appendedEnd(): number {
    return this.start + this.appended / 2 / this.sampleRate
  }

  /** Unix seconds after the last sample that is fsynced. */
  get durableEnd(): number {
    return this.start + this.durable / 2 / this.sampleRate
  }

  addExtent(extent: Extent): void {
    this.extents.push(extent)
    this.durable += extent.length
  }

  #encodeHead(): Buffer {
    const { codec, conversation, origin, sampleRate, uid } = this
    return encodeHead({
      id: origin.id,
      uid,
      conversation,
      start: origin.start,
      sampleRate,
      codec,
      clockShift: this.#clockShift
    })
  }

  /** The same one as long as nothing of it has changed: requests ask for all that waits in the journal. */
  toChunk(): Chunk {
    const samples = this.durable / 2
    const state = this.state === "open" ? ("open" as const) : ("sealed" as const)
    const known = this.#chunk
    if (known?.samples === samples && known.state === state && this.#chunkAttempts === this.nameAttempts) return known
    const { clockShift, codec, conversation, key, sampleRate, start, uid } = this
    const id = uuidText(this.id)
    const chunk = { id, uid, conversation, start, samples, sampleRate, codec, state, clockShift, key }
    this.#chunk = chunk
    this.#chunkAttempts = this.nameAttempts
    return chunk
  }
}

/** Lowercase and hyphenated, as PostgreSQL prints a uuid. */
export function uuidText(id: Uint8Array): string {
  const hex = Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString("hex")
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
