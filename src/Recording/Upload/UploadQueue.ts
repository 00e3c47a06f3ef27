/** Which chunk is uploaded next: a bounded sliding queue per capture, and the sweep of waiting chunks. Pure. */
import type { JournalChunk } from "../Journal/JournalChunk.ts"

/** The queue of one capture, or of one user's chunks from the sweep. */
interface Lane {
  readonly chunks: Array<JournalChunk>
}

export class UploadQueue {
  /** Round-robin by insertion order: the first user is served, then moved to the end. */
  readonly #users = new Map<string, Map<object, Lane>>()
  #size = 0

  get size(): number {
    return this.#size
  }

  sizeOf(uid: string, capture: object): number {
    return this.#users.get(uid)?.get(capture)?.chunks.length ?? 0
  }

  sizeOfAll(capture: object): number {
    let size = 0
    for (const lanes of this.#users.values()) size += lanes.get(capture)?.chunks.length ?? 0
    return size
  }

  /** Returns the deferred oldest chunk if the capture's queue already had `capacity` chunks. */
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
    const deferred = lane.chunks.shift()
    // The journal may have evicted it meanwhile.
    if (deferred?.state === "queued") deferred.state = "waiting"
    return deferred
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

const longestPause = 32

/** By time of sealing; recovered chunks come first, by start. */
const byAge = (a: JournalChunk, b: JournalChunk) =>
  a.sealedAt - b.sealedAt || a.openedAt - b.openedAt || a.start - b.start

/** Selects at most `limit` waiting chunks that are due in this round: round-robin over users, oldest first. */
export function selectDue(chunks: Iterable<JournalChunk>, round: number, limit: number) {
  const users = new Map<string, Array<JournalChunk>>()
  for (const chunk of chunks) {
    if (chunk.state !== "waiting" || chunk.durable !== chunk.appended || chunk.dueRound > round) continue
    const ofUser = users.get(chunk.uid)
    if (ofUser === undefined) users.set(chunk.uid, [chunk])
    else ofUser.push(chunk)
  }
  const picked: Array<JournalChunk> = []
  const turns = [...users.values()].map((ofUser) => ofUser.sort(byAge).values())
  for (let turn = turns.shift(); turn !== undefined && picked.length < limit; turn = turns.shift()) {
    const next = turn.next()
    if (next.done === true) continue
    picked.push(next.value)
    turns.push(turn)
  }
  const due = [...users.values()].reduce((sum, ofUser) => sum + ofUser.length, 0)
  return { picked, more: due > picked.length }
}

/** A failure of the store or the database: due in the next round. A failure of the chunk: exponential backoff. */
export function postponeChunk(chunk: JournalChunk, round: number, isItsOwn: boolean): void {
  chunk.dueRound = round + (isItsOwn ? Math.min(longestPause, 2 ** chunk.refusals++) : 1)
}
