/** Which chunks are uploaded next, and how many at once: a queue for each capture, the sweep of waiting chunks, the limit. */
import { Effect, Exit, Option, Queue } from "effect"
import { FairQueue } from "../../Bulkhead.ts"
import type { JournalChunk } from "../Journal/JournalChunk.ts"

/** The upload queue of a capture, or of the chunks of one user that the sweep offers. It holds references, not audio. */
export interface Lane {
  readonly uid: string
  readonly chunks: Queue.Queue<JournalChunk>
}

/** At `capacity`, a new chunk displaces the oldest. Nothing waits for the queue, so it needs no fiber. */
export function makeLane(uid: string, capacity: number): Lane {
  return { uid, chunks: Effect.runSync(Queue.sliding<JournalChunk>(capacity)) }
}

const takeFrom = ({ chunks }: Lane): JournalChunk | undefined =>
  Option.getOrUndefined(Option.flatMap(Option.fromUndefinedOr(Queue.takeUnsafe(chunks)), Exit.getSuccess))

export class UploadQueue {
  /** The lanes with chunks, by user. */
  readonly #lanes = FairQueue.make<Lane>()
  #size = 0

  get size(): number {
    return this.#size
  }

  /** Returns whether the lane was full and its oldest chunk is deferred: it waits for the sweep. */
  offer(lane: Lane, chunk: JournalChunk): boolean {
    // A sliding queue drops silently, so what would slide out is taken before.
    const oldest = Queue.isFullUnsafe(lane.chunks) ? takeFrom(lane) : undefined
    chunk.state = "queued"
    Queue.offerUnsafe(lane.chunks, chunk)
    if (oldest === undefined) {
      this.#size++
      if (Queue.sizeUnsafe(lane.chunks) === 1) this.#lanes.add(lane.uid, lane)
      return false
    }
    // The journal may have evicted it meanwhile.
    if (oldest.state !== "queued") return false
    oldest.state = "waiting"
    return true
  }

  /** The users take turns, and so do the lanes of a user. */
  take(): JournalChunk | undefined {
    const lane = this.#lanes.next()
    if (lane === undefined) return undefined
    const chunk = takeFrom(lane)
    this.#size--
    if (Queue.sizeUnsafe(lane.chunks) > 0) this.#lanes.add(lane.uid, lane)
    return chunk
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

/** Lateness of a commit at which acknowledgements take over a second with the default commit interval. */
export const lateMillis = 500

/**
 * Most uploads during an outage of the store or the database: each holds the audio of a chunk in memory until it fails. A second
 * one finds that the outage is over while the first one hangs.
 */
export const outageUploads = 2

/**
 * Concurrent uploads: halved after a late commit, one more after a timely one, so that uploads yield to acknowledgements. At
 * most `outageUploads` after one that failed because of the store or the database, until one succeeds.
 */
export class UploadLimit {
  readonly #most: number
  #limit: number
  #isOutage = false

  constructor(most: number) {
    this.#most = most
    this.#limit = most
  }

  /**
   * At least one. `lateBy`: milliseconds since the next commit was due. `isPressed`: the journal is filling up; uploads then
   * take precedence over timely acknowledgements.
   */
  limit(lateBy: number, isPressed: boolean): number {
    const most = this.#isOutage ? Math.min(outageUploads, this.#most) : this.#most
    if (isPressed) return most
    return lateBy > lateMillis ? 1 : Math.min(this.#limit, most)
  }

  /** An upload has failed because of the store or the database. */
  failed(): void {
    this.#isOutage = true
  }

  succeeded(): void {
    this.#isOutage = false
  }

  /** A periodic commit has ended, `lateBy` milliseconds after it was due. */
  committed(lateBy: number): void {
    this.#limit = lateBy > lateMillis ? Math.max(1, Math.floor(this.#limit / 2)) : Math.min(this.#most, this.#limit + 1)
  }
}
