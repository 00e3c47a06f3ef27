/**
 * Cuts requests that stand still or take too long. One fiber looks at all of them ten times per stall timeout: timers and
 * fibers of their own would cost a request of 64 KiB as much as its bytes do.
 */
import { Duration, Effect } from "effect"
import type { Scope } from "effect"
import type { GcsConfig } from "./GcsConfig.ts"
import { cut } from "./GcsFault.ts"
import type { GcsFault } from "./GcsFault.ts"

/** To be called whenever bytes moved. */
export type Moved = () => void

/** A request whose time runs, or rests while its reader does. */
export interface Watched {
  readonly moved: Moved
  /** From the beginning, unless it runs. */
  readonly run: () => void
  readonly rest: () => void
}

export interface GcsWatch {
  /** Its time runs from now on. `onCut` is not called while it rests, and not again unless it runs again. */
  readonly begin: (onCut: (fault: GcsFault) => void) => Watched
  /** Milliseconds since some moment, to within a look; they go on evenly whatever the system's clock does. */
  readonly elapsed: () => number
}

type Limits = Pick<GcsConfig["Service"], "attemptTimeout" | "stallTimeout">

/** Looks per stall timeout. */
const looks = 10

/** The requests that run, and how many looks there were. */
interface State {
  readonly flights: Set<Flight>
  readonly whole: number
  now: number
}

/** One for each request, so that a piece costs no allocation. */
class Flight implements Watched {
  last = 0
  end = 0
  readonly onCut: (fault: GcsFault) => void
  readonly #state: State

  constructor(state: State, onCut: (fault: GcsFault) => void) {
    this.#state = state
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

/** Time is counted in looks, not read from a clock that may be set: a request is cut up to one of them late. */
export const make = (limits: Limits): Effect.Effect<GcsWatch, never, Scope.Scope> =>
  Effect.gen(function* () {
    const step = Duration.toMillis(limits.stallTimeout) / looks
    const whole = Math.ceil(Duration.toMillis(limits.attemptTimeout) / step)
    const state: State = { flights: new Set(), whole, now: 0 }

    const look = Effect.sync(() => {
      const now = ++state.now
      for (const flight of state.flights) {
        const isLate = now > flight.end
        if (!isLate && now <= flight.last + looks) continue
        flight.rest()
        const reason = isLate ? `cut after ${Duration.format(limits.attemptTimeout)}` : "no progress"
        flight.onCut(cut(isLate ? reason : `${reason} for ${Duration.format(limits.stallTimeout)}`))
      }
    })
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(step), look)))

    return { begin: (onCut) => new Flight(state, onCut), elapsed: () => state.now * step }
  })
