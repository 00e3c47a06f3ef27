/**
 * Reads extents in dedicated threads. A chunk has about 120 extents. Synchronous reads block the event loop on a page
 * cache miss; one asynchronous call per extent costs ten times as much as one message for all, and competes with the commit's
 * writes for the thread pool.
 */
import { Effect, Schedule } from "effect"
import { Worker } from "node:worker_threads"
import type { Extent } from "./Extents.ts"
import { JournalError } from "./Segment.ts"

/** Bound of the threads, of 17 MB each. One reads hundreds of chunks a second from the page cache; slow disks need more. */
const threads = 4

/** Seconds without a reply after which a thread is abandoned, as long as the store's stall timeout. */
const silentSeconds = 10

/** Age of the oldest request at which another thread is started. */
const behindMillis = 250

/** A listener's read of at most this many extents needs no thread, so that it never waits behind whole chunks. */
const fewExtents = 16

const resourceLimits = { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 16 }

interface ReadRequest {
  readonly id: number
  /** File descriptor, position and length of each extent. The extents fill the buffer consecutively. */
  readonly extents: Float64Array
  readonly buffer: ArrayBuffer
}

interface ReadReply {
  readonly id: number
  readonly buffer: ArrayBuffer
  /** Index of the failed extent. Without a cause, the file ended within the extent. */
  readonly failed?: { readonly extent: number; readonly cause?: unknown }
}

interface Pending {
  readonly since: number
  readonly extents: ReadonlyArray<Extent>
  readonly resume: (effect: Effect.Effect<ArrayBuffer, JournalError>) => void
}

const readError = (extents: ReadonlyArray<Extent>, cause: Error) =>
  new JournalError({ operation: "read", path: extents[0]?.segment.path ?? "", cause, isTransient: true })

class Thread {
  readonly #worker: Worker
  readonly #pending = new Map<number, Pending>()
  #ids = 0
  #silent = 0
  /** Gets no more requests: it has exited, or is abandoned. */
  isEnded = false
  /** A thread in a system call exits only when the call returns. */
  hasExited = false

  constructor(script: URL) {
    this.#worker = new Worker(script, { resourceLimits })
    this.#worker.unref()
    this.#worker.on("message", (reply: ReadReply) => this.#settle(reply))
    this.#worker.on("error", (cause) => this.#end(cause))
    this.#worker.on("exit", () => {
      this.hasExited = true
      this.#end(new Error("the reader thread has exited"))
    })
  }

  get pending(): number {
    return this.#pending.size
  }

  get isBehind(): boolean {
    const [oldest] = this.#pending.values()
    return oldest !== undefined && performance.now() - oldest.since > behindMillis
  }

  send(extents: ReadonlyArray<Extent>, buffer: ArrayBuffer, resume: Pending["resume"]): void {
    const id = ++this.#ids
    if (this.#pending.size === 0) this.#silent = 0
    const numbers = Float64Array.from(
      extents.flatMap(({ length, position, segment }) => [segment.fd, position, length])
    )
    this.#pending.set(id, { extents, resume, since: performance.now() })
    for (const { segment } of extents) segment.hold()
    const request: ReadRequest = { id, extents: numbers, buffer }
    this.#worker.postMessage(request, [buffer])
  }

  end(): void {
    void this.#worker.terminate()
  }

  /**
   * Called once a second; counts calls instead of time, which also passes while the whole process is stopped. Fails the
   * requests of a silent thread. Their segments stay open until it exits, because it may still read from them.
   */
  check(): void {
    if (this.isEnded || this.#pending.size === 0 || ++this.#silent < silentSeconds) return
    this.isEnded = true
    const cause = new Error(`the reader thread has not responded for ${silentSeconds} s`)
    for (const pending of this.#pending.values()) this.#fail(pending, cause)
    this.end()
  }

  #settle({ buffer, failed, id }: ReadReply): void {
    this.#silent = 0
    const pending = this.#take(id)
    if (failed === undefined) return pending?.resume(Effect.succeed(buffer))
    const segment = pending?.extents[failed.extent]?.segment
    if (segment === undefined) return
    const { cause } = failed
    pending?.resume(
      cause === undefined ? segment.tooShort : new JournalError({ operation: "read", path: segment.path, cause })
    )
  }

  #end(cause: Error): void {
    this.isEnded = true
    for (const [id, pending] of this.#pending) {
      this.#take(id)
      this.#fail(pending, cause)
    }
  }

  /** Without effect if the request has failed before. */
  #fail({ resume, extents }: Pending, cause: Error): void {
    resume(readError(extents, cause))
  }

  #take(id: number): Pending | undefined {
    const pending = this.#pending.get(id)
    this.#pending.delete(id)
    for (const { segment } of pending?.extents ?? []) segment.release()
    return pending
  }
}

export interface SegmentReader {
  /**
   * Fills the buffer with the extents, consecutively. The buffer may be detached: use the result instead, and neither after a
   * failure. Segments stay open until the read ends, also when the caller is interrupted.
   */
  readonly read: (extents: ReadonlyArray<Extent>, buffer: ArrayBuffer) => Effect.Effect<ArrayBuffer, JournalError>
}

const readFew = (extents: ReadonlyArray<Extent>, buffer: ArrayBuffer) => {
  let end = 0
  const reads = extents.map(({ length, position, segment }) => {
    const target = new Uint8Array(buffer, end, length)
    end += length
    return Effect.flatMap(segment.read(target, position), (count) => (count < length ? segment.tooShort : Effect.void))
  })
  return Effect.as(Effect.all(reads, { concurrency: "unbounded", discard: true }), buffer)
}

/**
 * Threads start on demand; dead and silent ones are replaced. A silent one counts until it exits; while all are silent, reads
 * fail at once. `script` is the threads' code.
 */
export const make = Effect.fnUntraced(function* (script = new URL("./ReadThread.mjs", import.meta.url)) {
  let running: ReadonlyArray<Thread> = []
  yield* Effect.addFinalizer(() => Effect.sync(() => running.forEach((thread) => thread.end())))
  yield* Effect.sync(() => running.forEach((thread) => thread.check())).pipe(
    Effect.repeat(Schedule.spaced("1 second")),
    Effect.forkScoped
  )
  const idlest = (): Thread | undefined => {
    running = running.filter(({ hasExited }) => !hasExited)
    const [first] = running.filter(({ isEnded }) => !isEnded).toSorted((a, b) => a.pending - b.pending)
    if (running.length === threads || first?.isBehind === false) return first
    const started = new Thread(script)
    running = [...running, started]
    return started
  }
  const readMany = (extents: ReadonlyArray<Extent>, buffer: ArrayBuffer) =>
    Effect.callback<ArrayBuffer, JournalError>((resume) => {
      const deleted = extents.find(({ segment }) => segment.closedError !== undefined)?.segment.closedError
      if (deleted !== undefined) return resume(deleted)
      const thread = idlest()
      if (thread === undefined) resume(readError(extents, new Error("no reader thread responds")))
      else thread.send(extents, buffer, resume)
    })
  const reader: SegmentReader = {
    read: (extents, buffer) => (extents.length <= fewExtents ? readFew : readMany)(extents, buffer)
  }
  return reader
})
