/** Sealed chunks on their way to the store: a sliding queue per capture, taken from in turn by user, then by capture. Pure. */
import type { JournalChunk } from "../Journal/JournalChunk.ts"

/** One capture's queue; the sweeper's offers make one per user. */
interface Lane {
  readonly chunks: Array<JournalChunk>
}

export class UploadQueue {
  /** Maps keep the order of insertion: the first is next, and goes to the end when it was served. */
  readonly #users = new Map<string, Map<object, Lane>>()
  #size = 0

  get size(): number {
    return this.#size
  }

  /** Chunks of this capture. */
  sizeOf(uid: string, capture: object): number {
    return this.#users.get(uid)?.get(capture)?.chunks.length ?? 0
  }

  /** Chunks of this capture, of whatever user. */
  sizeOfAll(capture: object): number {
    let size = 0
    for (const lanes of this.#users.values()) size += lanes.get(capture)?.chunks.length ?? 0
    return size
  }

  /** Answers the chunk that slid out, if the capture's queue had `capacity` chunks. */
  offer(capture: object, chunk: JournalChunk, capacity: number): JournalChunk | undefined {
    const lanes = this.#users.get(chunk.uid) ?? new Map<object, Lane>()
    this.#users.set(chunk.uid, lanes)
    const lane = lanes.get(capture) ?? { chunks: [] }
    lanes.set(capture, lane)
    chunk.state = "queued"
    lane.chunks.push(chunk)
    if (lane.chunks.length <= capacity) {
      this.#size++
      return undefined
    }
    const evicted = lane.chunks.shift()
    // It may have been given up meanwhile.
    if (evicted?.state === "queued") evicted.state = "waiting"
    return evicted
  }

  take(): JournalChunk | undefined {
    for (const [uid, lanes] of this.#users) {
      this.#users.delete(uid)
      for (const [capture, lane] of lanes) {
        lanes.delete(capture)
        const chunk = lane.chunks.shift()
        if (lane.chunks.length > 0) lanes.set(capture, lane)
        if (lanes.size > 0) this.#users.set(uid, lanes)
        if (chunk === undefined) break
        this.#size--
        return chunk
      }
    }
    return undefined
  }
}
