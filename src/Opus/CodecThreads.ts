/** Threads in which Opus is decoded and encoded. They start on demand and end when idle, when they fail and with the scope. */
import { Duration, Effect, Fiber, Metric, Option, Pool, Result, Schema, type Scope } from "effect"
import * as Os from "node:os"
import { Worker } from "node:worker_threads"
import { Bulkhead, BulkheadConfig, Priority, type Saturated } from "../Bulkhead.ts"

/** A thread has died, hangs, or can't be started. Another attempt may succeed. */
export class CodecFailed extends Schema.TaggedError<CodecFailed>()("CodecFailed", {
  operation: Schema.String,
  cause: Schema.Defect()
}) {
  override get message() {
    return `can't ${this.operation} Opus: ${this.cause instanceof Error ? this.cause.message : String(this.cause)}`
  }
}

export interface Job {
  readonly operation: "decode" | "encode"
  readonly request: object
  /** Buffers of the request. They are detached here. */
  readonly transfer: ReadonlyArray<ArrayBuffer>
  readonly audioSeconds: number
}

interface Reply {
  readonly bytes?: Uint8Array<ArrayBuffer>
  /** Why the input can't be used. */
  readonly rejected?: string
  readonly seconds: number
}

/** Bound of the threads, of 17 MB each: one core is left to the event loop. */
const maxThreads = Math.max(1, Math.min(16, Os.availableParallelism() - 1))

/** A thread without a reply for this long is ended, and its job fails. The largest job takes a second. */
const jobTimeout = Duration.seconds(10)

const idleTime = Duration.minutes(1)

const resourceLimits = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 32 }

const jobs = Metric.counter("spillway_codec_jobs_total", {
  description: "Opus decodings and encodings",
  incremental: true
})
const audio = Metric.counter("spillway_codec_audio_seconds_total", { description: "Audio decoded and encoded" })
const busy = Metric.counter("spillway_codec_busy_seconds_total", {
  description: "Time that threads decoded and encoded"
})
const alive = Metric.gauge("spillway_codec_threads", { description: "Threads that decode and encode" })

class Thread {
  readonly #worker: Worker
  #settle: ((result: Result.Result<Reply, Error>) => void) | undefined
  hasEnded = false

  constructor(script: URL, onExit: () => void) {
    this.#worker = new Worker(script, { execArgv: [], resourceLimits })
    this.#worker.unref()
    this.#worker.on("message", (reply: Reply) => this.#settle?.(Result.succeed(reply)))
    this.#worker.on("error", (cause) => this.#fail(cause))
    this.#worker.on("exit", () => {
      this.#fail(new Error("the thread has exited"))
      onExit()
    })
  }

  /** One job at a time. */
  run({ operation, request, transfer }: Job): Effect.Effect<Reply, CodecFailed> {
    return Effect.callback((resume) => {
      this.#settle = (result) =>
        resume(Effect.fromResult(Result.mapError(result, (cause) => new CodecFailed({ operation, cause }))))
      if (this.hasEnded) this.#fail(new Error("the thread has exited"))
      else this.#worker.postMessage({ ...request, operation }, [...transfer])
    })
  }

  end(): void {
    this.hasEnded = true
    void this.#worker.terminate()
  }

  #fail(cause: Error): void {
    this.hasEnded = true
    this.#settle?.(Result.fail(cause))
  }
}

export interface CodecThreads {
  /**
   * Runs the job in a thread when it is the user's turn, and returns its result, or why its input can't be used. A job that
   * has begun is finished when the caller is interrupted: it is short, and a new thread would cost more.
   */
  readonly run: (uid: string, job: Job) => Effect.Effect<Reply, CodecFailed | Saturated>
}

export const make = Effect.fnUntraced(function* ({
  script = new URL("./CodecThread.mjs", import.meta.url),
  threads = maxThreads
}: { readonly script?: URL; readonly threads?: number } = {}): Effect.fn.Return<
  CodecThreads,
  never,
  BulkheadConfig | Scope.Scope
> {
  const config = yield* BulkheadConfig
  const scope = yield* Effect.scope
  const bulkhead = yield* Bulkhead.make({
    name: "codec",
    permits: threads,
    maxWaiting: config.waiting,
    maxWaitingPerKey: config.waitingPerUser,
    retryAfter: config.retryAfter,
    warnEvery: config.warnEvery
  })
  const context = yield* Effect.context<never>()
  let running = 0
  const count = (change: number) => {
    running += change
    alive.modifyUnsafe(change, context)
  }
  const start = Effect.suspend(() => {
    // A thread that hangs in a call of the codec exits only when the call returns.
    if (running >= 2 * threads)
      return new CodecFailed({ operation: "start a thread for", cause: new Error("too many threads hang") })
    count(1)
    return Effect.succeed(new Thread(script, () => count(-1)))
  })
  const pool = yield* Pool.makeWithTTL({
    acquire: Effect.acquireRelease(start, (thread) => Effect.sync(() => thread.end())),
    min: 0,
    max: threads,
    timeToLive: idleTime
  })

  const silent = (operation: string) => {
    const cause = new Error(`the thread has not responded for ${Duration.format(jobTimeout)}`)
    return new CodecFailed({ operation, cause })
  }

  const attempt = Effect.fnUntraced(function* (job: Job) {
    const thread = yield* Pool.get(pool)
    const invalidate = Pool.invalidate(pool, thread)
    if (thread.hasEnded) return yield* Effect.as(invalidate, Option.none())
    const reply = thread.run(job).pipe(
      Effect.timeoutOrElse({ duration: jobTimeout, orElse: () => silent(job.operation) }),
      Effect.onError(() => invalidate)
    )
    return Option.some(yield* reply)
  }, Effect.scoped)

  const perform = Effect.fnUntraced(function* (job: Job) {
    const { audioSeconds, operation } = job
    const reply = yield* attempt(job).pipe(
      Effect.repeat({ until: Option.isSome }),
      Effect.flatMap(Effect.fromOption),
      Effect.catchTag("NoSuchElementError", Effect.die),
      Effect.onExit(({ _tag }) =>
        Metric.update(Metric.withAttributes(jobs, { operation, outcome: _tag === "Success" ? "done" : "failed" }), 1)
      )
    )
    yield* Metric.update(Metric.withAttributes(audio, { operation }), audioSeconds)
    yield* Metric.update(Metric.withAttributes(busy, { operation }), reply.seconds)
    return reply
  })

  /** All background work takes turns as if it were one user. */
  const keyOf = (uid: string) => Effect.map(Priority, (priority) => (priority === "background" ? "" : uid))

  return {
    run: (uid, job) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function* () {
          let hasBegun = false
          const begin = Effect.suspend(() => {
            hasBegun = true
            return perform(job)
          })
          const turn = bulkhead.run(yield* keyOf(uid))(begin)
          const fiber = yield* Effect.forkIn(Effect.interruptible(turn), scope)
          const interrupt = Effect.suspend(() => (hasBegun ? Effect.void : Fiber.interrupt(fiber)))
          return yield* Effect.onInterrupt(restore(Fiber.join(fiber)), () => interrupt)
        })
      )
  }
})
