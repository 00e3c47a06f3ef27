/**
 * Cuts requests that stall or take too long. One fiber checks all of them twenty times per stall timeout: timers and
 * fibers of their own would cost a request of 64 KiB as much as its bytes do.
 */
import { Duration, Effect } from "effect"
import type { Scope } from "effect"
import type { GcsConfig } from "./GcsConfig.ts"
import { cut } from "./Fault.ts"
import type { GcsFault } from "./Fault.ts"

/** To be called whenever bytes moved. */
export type Moved = () => void

/** A request whose time runs, or rests while its reader does. */
export interface Watched {
  readonly moved: Moved
  /** From the beginning, unless it runs. */
  readonly run: () => void
  readonly rest: () => void
}

/** The first attempt of a read that can be repeated gets two fifths of the stall timeout; every other request all of it. */
export type Attempt = "first" | "other"

export interface GcsWatch {
  /** Its time runs from now on. `onCut` is not called while it rests, and not again unless it runs again. */
  readonly begin: (attempt: Attempt, onCut: (fault: GcsFault) => void) => Watched
  /** Milliseconds since some moment, to within a check; they increase evenly whatever the system's clock does. */
  readonly elapsed: () => number
}

type Limits = Pick<GcsConfig["Service"], "attemptTimeout" | "stallTimeout">

/**
 * Checks before a stalled request is cut; `other` of them are the stall timeout. A listener waits as long as that for the
 * first audio: a first attempt that stalls leaves more than half of the time to the second.
 */
const stalledChecks = { first: 8, other: 20 } as const

/** The requests that run, and how many checks there were. */
interface State {
  readonly flights: Set<Flight>
  readonly whole: number
  now: number
}

/** One for each request, so that a piece costs no allocation. */
class Flight implements Watched {
  last = 0
  end = 0
  readonly stall: number
  readonly onCut: (fault: GcsFault) => void
  readonly #state: State

  constructor(state: State, attempt: Attempt, onCut: (fault: GcsFault) => void) {
    this.#state = state
    this.stall = stalledChecks[attempt]
    this.onCut = onCut
    this.run()
  }

  run() {
    const { flights, now, whole } = this.#state
    if (flights.has(this)) return
    this.last = now
    this.end = now + whole
    flights.add(this)
  }

  moved() {
    this.last = this.#state.now
  }

  rest() {
    this.#state.flights.delete(this)
  }
}

/** Time is counted in checks, not read from a clock that may be set: a request is cut up to one of them late. */
export function make(limits: Limits): Effect.Effect<GcsWatch, never, Scope.Scope> {
  return Effect.gen(function* () {
    const step = Duration.toMillis(limits.stallTimeout) / stalledChecks.other
    const whole = Math.ceil(Duration.toMillis(limits.attemptTimeout) / step)
    const state: State = { flights: new Set(), whole, now: 0 }

    const check = Effect.sync(() => {
      const now = ++state.now
      for (const flight of state.flights) {
        const isLate = now > flight.end
        if (!isLate && now <= flight.last + flight.stall) continue
        flight.rest()
        const stalled = Duration.format(Duration.millis(flight.stall * step))
        flight.onCut(cut(isLate ? `cut after ${Duration.format(limits.attemptTimeout)}` : `no progress for ${stalled}`))
      }
    })
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(step), check)))

    return { begin: (attempt, onCut) => new Flight(state, attempt, onCut), elapsed: () => state.now * step }
  })
}
