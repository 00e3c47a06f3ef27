/**
 * Reads runs of segments in threads of its own. A chunk lies in the journal in about 120 runs. Read on the loop, they block
 * it when the page cache has lost them; one asynchronous call for each costs the loop ten times one message for all of them,
 * and the commit's writes would wait behind them for a thread of the pool.
 */
import { Effect } from "effect"
import { Worker } from "node:worker_threads"
import { JournalError, type Segment } from "./Segment.ts"

export interface Run {
  readonly segment: Segment
  readonly position: number
  readonly length: number
}

/** One reads hundreds of chunks a second from the page cache. A disk that makes it fall behind gets more, of 17 MB each. */
const threads = 4

/** Age of a request that has another thread started. */
const behindMillis = 250

/** What a listener asks for at once. It does not wait behind whole chunks, and starts no thread. */
const fewRuns = 16

/** A thread has no data of its own. */
const resourceLimits = { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 16 }

interface ReadRequest {
  readonly id: number
  /** File descriptor, position and length of each run; the runs fill the buffer one behind the other. */
  readonly runs: Float64Array
  readonly buffer: ArrayBuffer
}

interface ReadReply {
  readonly id: number
  readonly buffer: ArrayBuffer
  /** Index of the run that could not be read; without a cause the file ended before the run did. */
  readonly failed?: { readonly run: number; readonly cause?: unknown }
}

interface Pending {
  readonly since: number
  readonly runs: ReadonlyArray<Run>
  readonly resume: (effect: Effect.Effect<ArrayBuffer, JournalError>) => void
}

class Thread {
  readonly #worker: Worker
  readonly #pending = new Map<number, Pending>()
  #ids = 0
  isEnded = false

  constructor(script: URL) {
    this.#worker = new Worker(script, { resourceLimits })
    // It never keeps the process alive.
    this.#worker.unref()
    this.#worker.on("message", (reply: ReadReply) => this.#settle(reply))
    this.#worker.on("error", (cause) => this.#end(cause))
    this.#worker.on("exit", () => this.#end(new Error("the thread that reads has ended")))
  }

  get pending(): number {
    return this.#pending.size
  }

  get isBehind(): boolean {
    const [oldest] = this.#pending.values()
    return oldest !== undefined && performance.now() - oldest.since > behindMillis
  }

  send(runs: ReadonlyArray<Run>, buffer: ArrayBuffer, resume: Pending["resume"]): void {
    const id = ++this.#ids
    const numbers = Float64Array.from(runs.flatMap(({ length, position, segment }) => [segment.fd, position, length]))
    this.#pending.set(id, { runs, resume, since: performance.now() })
    for (const { segment } of runs) segment.hold()
    const request: ReadRequest = { id, runs: numbers, buffer }
    this.#worker.postMessage(request, [buffer])
  }

  /** Ends after what it was sent. */
  end(): void {
    void this.#worker.terminate()
  }

  #settle({ buffer, failed, id }: ReadReply): void {
    const pending = this.#take(id)
    if (failed === undefined) return pending?.resume(Effect.succeed(buffer))
    const segment = pending?.runs[failed.run]?.segment
    if (segment === undefined) return
    const { cause } = failed
    pending?.resume(
      cause === undefined ? segment.tooShort : new JournalError({ operation: "read", path: segment.path, cause })
    )
  }

  #end(cause: Error): void {
    this.isEnded = true
    for (const id of this.#pending.keys()) {
      const pending = this.#take(id)
      const path = pending?.runs[0]?.segment.path ?? ""
      pending?.resume(new JournalError({ operation: "read", path, cause }))
    }
  }

  #take(id: number): Pending | undefined {
    const pending = this.#pending.get(id)
    this.#pending.delete(id)
    for (const { segment } of pending?.runs ?? []) segment.letGo()
    return pending
  }
}

export interface SegmentReader {
  /**
   * Fills the buffer with the runs, one behind the other. The answer takes its place: the buffer may be detached, and is not to
   * be used after a failure. Segments stay readable until they are read, though the caller is interrupted.
   */
  readonly read: (runs: ReadonlyArray<Run>, buffer: ArrayBuffer) => Effect.Effect<ArrayBuffer, JournalError>
}

const readFew = (runs: ReadonlyArray<Run>, buffer: ArrayBuffer) => {
  let end = 0
  const reads = runs.map(({ length, position, segment }) => {
    const target = new Uint8Array(buffer, end, length)
    end += length
    return Effect.flatMap(segment.read(target, position), (count) => (count < length ? segment.tooShort : Effect.void))
  })
  return Effect.as(Effect.all(reads, { concurrency: "unbounded", discard: true }), buffer)
}

/** The first long read starts the first thread; one that has died is replaced. `script` is what a thread runs. */
export const make = Effect.fnUntraced(function* (script = new URL("./ReadThread.mjs", import.meta.url)) {
  let running: ReadonlyArray<Thread> = []
  yield* Effect.addFinalizer(() => Effect.sync(() => running.forEach((thread) => thread.end())))
  const idlest = (): Thread => {
    running = running.filter(({ isEnded }) => !isEnded)
    const [first] = running.toSorted((a, b) => a.pending - b.pending)
    if (first !== undefined && (!first.isBehind || running.length === threads)) return first
    const started = new Thread(script)
    running = [...running, started]
    return started
  }
  const readMany = (runs: ReadonlyArray<Run>, buffer: ArrayBuffer) =>
    Effect.callback<ArrayBuffer, JournalError>((resume) => {
      const deleted = runs.find(({ segment }) => segment.closed !== undefined)?.segment.closed
      if (deleted === undefined) idlest().send(runs, buffer, resume)
      else resume(deleted)
    })
  const reader: SegmentReader = {
    read: (runs, buffer) => (runs.length <= fewRuns ? readFew : readMany)(runs, buffer)
  }
  return reader
})
