/** Aborts requests that stall or take too long. One fiber checks all: a timer for each would double the cost of 64 KiB. */
import { Duration, Effect } from "effect"
import type { Scope } from "effect"
import type { GcsConfig } from "./GcsConfig.ts"
import { transient } from "./Fault.ts"
import type { GcsFault } from "./Fault.ts"

/** Call it whenever bytes are transferred. */
export type OnProgress = () => void

/** The timer of one request. It does not count while it is stopped. */
export interface Timer {
  readonly onProgress: OnProgress
  /** Starts from zero; does nothing while the timer runs. */
  readonly start: () => void
  readonly stop: () => void
}

/** The stall timeout of the first attempt of a read is two fifths of the configured one. */
export type Attempt = "first" | "other"

export interface Watchdog {
  /** Starts a timer. It stops before it calls `onTimeout`. */
  readonly start: (attempt: Attempt, onTimeout: (fault: GcsFault) => void) => Timer
  /** Monotonic milliseconds, as precise as the checks are frequent. */
  readonly elapsed: () => number
}

type Limits = Pick<GcsConfig["Service"], "attemptTimeout" | "stallTimeout">

/**
 * Checks without progress before a request is aborted. `other` checks are the stall timeout, which is also how long a
 * listener waits for the first audio: a stalled first attempt leaves more than half of that time to the second.
 */
const stalledChecks = { first: 8, other: 20 } as const

interface State {
  readonly requests: Set<RequestTimer>
  readonly whole: number
  now: number
}

/** One object per request, so that a piece costs no allocation. */
class RequestTimer implements Timer {
  last = 0
  end = 0
  readonly stall: number
  readonly onTimeout: (fault: GcsFault) => void
  readonly #state: State

  constructor(state: State, attempt: Attempt, onTimeout: (fault: GcsFault) => void) {
    this.#state = state
    this.stall = stalledChecks[attempt]
    this.onTimeout = onTimeout
    this.start()
  }

  start() {
    const { requests, now, whole } = this.#state
    if (requests.has(this)) return
    this.last = now
    this.end = now + whole
    requests.add(this)
  }

  onProgress() {
    this.last = this.#state.now
  }

  stop() {
    this.#state.requests.delete(this)
  }
}

/** Time is counted in checks, because a system clock can be set. A request is aborted at most one check late. */
export function make(limits: Limits): Effect.Effect<Watchdog, never, Scope.Scope> {
  return Effect.gen(function* () {
    const step = Duration.toMillis(limits.stallTimeout) / stalledChecks.other
    const whole = Math.ceil(Duration.toMillis(limits.attemptTimeout) / step)
    const state: State = { requests: new Set(), whole, now: 0 }

    const check = Effect.sync(() => {
      const now = ++state.now
      for (const request of state.requests) {
        const isLate = now > request.end
        if (!isLate && now <= request.last + request.stall) continue
        request.stop()
        const stalled = Duration.format(Duration.millis(request.stall * step))
        request.onTimeout(
          transient(isLate ? `aborted after ${Duration.format(limits.attemptTimeout)}` : `no progress for ${stalled}`)
        )
      }
    })
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(step), check)))

    return {
      start: (attempt, onTimeout) => new RequestTimer(state, attempt, onTimeout),
      elapsed: () => state.now * step
    }
  })
}
