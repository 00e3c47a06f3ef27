/** A conversation that this node records, or has audio of in its journal. */
import type { JournalChunk } from "./JournalChunk.ts"

/** What one user has in the journal; shared by the user's conversations. */
export interface JournalUsage {
  chunks: number
}

/** The only writer of a conversation at a time. */
export interface ConversationWriter {
  /** None until it has entered: it has compared nothing with what is recorded. */
  readonly conversation: LiveConversation | undefined
  /** Another writer takes over. `done` is called when all received audio is written or discarded. */
  readonly supersede: (done: () => void) => void
  /** Seals the chunk of what it has received by now, and commits it at once. `isSealing` until then. */
  readonly seal: () => void
  readonly isSealing: boolean
  /** The stored state has become known after the writer started. `isOverlapping`: some of its audio overlaps stored audio. */
  readonly loaded: (isOverlapping: boolean) => void
  /** Acknowledged audio was given up, which the client may still have: Unix second and seconds. */
  readonly lost: (start: number, seconds: number) => void
  /** The conversation is purged: all audio that is not written is discarded. */
  readonly purged: () => void
}

export class LiveConversation {
  readonly uid: string
  readonly id: string
  readonly createdAt: Date
  readonly usage: JournalUsage
  /** Chunks that are not stored. */
  readonly #chunks = new Map<string, JournalChunk>()
  /** Stored chunks that are still in the journal. Eviction may have released some of them. */
  readonly #retained = new Map<string, JournalChunk>()
  /** Those that record it, wait for the previous one to end, or end. */
  readonly writers = new Set<ConversationWriter>()
  /** The last writer that entered, until it leaves. */
  writer: ConversationWriter | undefined
  /** Unix second at which the recorded audio ends, including buffered audio. */
  end = -Infinity
  /** Seconds by which the audio at the end is placed after its timestamps. Recovered or stored: the last shift of its chunk. */
  clockShift = 0
  /** Unix second at which audio released from the journal ends. */
  #storedEnd = -Infinity
  /** Unix second from which audio was given up while its captures were open. */
  #lostFrom = Infinity
  /** What `unstoredFrom` returns; undefined if chunks have come or gone. */
  #unstoredFrom: number | undefined
  /** All chunks ever opened, stored or not. */
  chunkCount = 0
  /** The stored state is known. */
  loaded = false
  /** When the purges of it were read last: milliseconds of the database's clock, 0 if never. */
  learnedAt = 0
  /** When none of them ran last, as `learnedAt`. */
  knownAt = 0
  /** Chunks with an earlier `knownAt` are purged: milliseconds of the database's clock, 0 if there are none. */
  purgedBefore = 0

  constructor(uid: string, id: string, createdAt: Date, usage: JournalUsage) {
    this.uid = uid
    this.id = id
    this.createdAt = createdAt
    this.usage = usage
  }

  get captures(): number {
    return this.writers.size
  }

  get chunks(): Iterable<JournalChunk> {
    return this.#chunks.values()
  }

  /** Chunks whose audio is in the journal, stored or not. */
  get inJournal(): ReadonlyArray<JournalChunk> {
    const retained = [...this.#retained.values()].filter(({ state }) => state === "retained")
    return [...this.#chunks.values(), ...retained]
  }

  get isEmpty(): boolean {
    return this.#chunks.size === 0 && this.#retained.size === 0
  }

  /** Nothing is recorded or shown until captures have given up what is purged, and the purge has ended. */
  get isPurged(): boolean {
    return this.purgedBefore > 0
  }

  /** Whether the chunk, one of this conversation, is purged. Audio that was recorded after the purge is not. */
  hasPurged({ knownAt }: JournalChunk): boolean {
    return knownAt < this.purgedBefore
  }

  /** A capture records it, or has left audio to a commit. */
  get isGrowing(): boolean {
    if (this.isPurged) return false
    return this.captures > 0 || [...this.#chunks.values()].some(({ appended, durable }) => appended > durable)
  }

  get durableEnd(): number {
    let end = this.#storedEnd
    for (const chunk of this.#chunks.values()) if (chunk.durable > 0) end = Math.max(end, chunk.durableEnd)
    return end
  }

  /** Unix second up to which all audio is in the store, with its row; infinite if all of it is. */
  get unstoredFrom(): number {
    if (!this.loaded) return -Infinity
    this.#unstoredFrom ??= [...this.#chunks.values()].reduce((from, { start }) => Math.min(from, start), this.#lostFrom)
    return this.#unstoredFrom
  }

  /** The chunk is given up, so that the audio before it is all that can be reported as stored. */
  lose({ durableSamples, sampleRate, start }: JournalChunk): void {
    this.#lostFrom = Math.min(this.#lostFrom, start)
    this.#unstoredFrom = undefined
    this.writer?.lost(start, durableSamples / sampleRate)
  }

  /** A capture enters, which sends again what is not stored. */
  enter(writer: ConversationWriter): void {
    this.writers.add(writer)
    this.#lostFrom = Infinity
    this.#unstoredFrom = undefined
  }

  /** The chunk, if its audio is in the journal. */
  chunk(id: string): JournalChunk | undefined {
    const retained = this.#retained.get(id)
    return retained?.state === "retained" ? retained : this.#chunks.get(id)
  }

  addChunk(chunk: JournalChunk): void {
    this.#chunks.set(chunk.id, chunk)
    this.#unstoredFrom = undefined
    this.chunkCount++
    this.usage.chunks++
    this.#extend(chunk)
  }

  /** Keeps a stored chunk until `removeChunk`. */
  retain(chunk: JournalChunk): void {
    this.removeChunk(chunk)
    this.#retained.set(chunk.id, chunk)
  }

  removeChunk(chunk: JournalChunk): void {
    this.#retained.delete(chunk.id)
    if (!this.#chunks.delete(chunk.id)) return
    this.#unstoredFrom = undefined
    this.usage.chunks--
    if (chunk.durable > 0 && !this.hasPurged(chunk)) this.#storedEnd = Math.max(this.#storedEnd, chunk.durableEnd)
  }

  /**
   * Takes what the database had at `now`: the last purge ended at `end`, which is infinite while one runs and 0 without one.
   * Ends the writers if what they recorded, or compared their audio with, is purged. Removes and returns the purged chunks, except
   * those that a capture still writes. Without effect if what is known is newer: queries overtake each other.
   */
  learn(end: number, now: number): ReadonlyArray<JournalChunk> {
    if (now < this.learnedAt) return []
    const purged = [...this.#chunks.values(), ...this.#retained.values()].filter(({ knownAt }) => knownAt < end)
    const sealed = purged.filter(({ state }) => state !== "open" && state !== "sealing")
    const isStale = purged.length > 0 || (this.knownAt > 0 && this.knownAt < end)
    const wasPurged = this.isPurged
    this.learnedAt = now
    // A purge that runs may have ended before `now`, in a transaction that is not committed yet.
    if (end <= now) this.knownAt = now
    for (const chunk of sealed) this.removeChunk(chunk)
    this.purgedBefore = end > now || sealed.length < purged.length ? end : 0
    for (const writer of this.writers) if (this.isPurged || (isStale && writer.conversation === this)) writer.purged()
    if (isStale || wasPurged || this.isPurged) this.forget()
    return sealed
  }

  /** Takes the stored state: chunk count, Unix second of the end, last clock shift of the last chunk in seconds. */
  load(chunks: number, end: number, clockShift: number): void {
    this.chunkCount = Math.max(this.chunkCount, chunks + this.#chunks.size)
    this.#storedEnd = Math.max(this.#storedEnd, end)
    this.loaded = true
    if (end <= this.end) return
    this.end = end
    this.clockShift = clockShift
  }

  /** Forgets the stored state, which is purged. The end is then that of the chunks in the journal that are not. */
  forget(): void {
    this.loaded = false
    this.#storedEnd = -Infinity
    this.end = -Infinity
    this.clockShift = 0
    this.chunkCount = this.#chunks.size
    for (const chunk of this.#chunks.values()) if (!this.hasPurged(chunk)) this.#extend(chunk)
  }

  /** Whether audio that was placed before the stored state was known begins before Unix second `end`. */
  isUncheckedBefore(end: number): boolean {
    return [...this.#chunks.values()].some((chunk) => chunk.isUnchecked && chunk.start < end)
  }

  /** Whether the chunk may overlap stored audio, and its capture waits to know. Once it is stored, the overlap is not found. */
  awaitsLoad({ isUnchecked }: JournalChunk): boolean {
    return isUnchecked && !this.loaded && this.captures > 0
  }

  recomputeEnd(): void {
    let end = this.#storedEnd
    for (const chunk of this.#chunks.values()) if (chunk.appended > 0) end = Math.max(end, chunk.appendedEnd)
    this.end = end
  }

  #extend(chunk: JournalChunk): void {
    if (chunk.appended === 0 || chunk.appendedEnd <= this.end) return
    this.end = chunk.appendedEnd
    this.clockShift = chunk.clockShifts.at(-1) ?? 0
  }
}
