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

/** A request, or a part of it, whose time runs. */
export interface Watched {
  readonly moved: Moved
  /** Its time runs no longer. */
  readonly done: () => void
}

export interface GcsWatch {
  /** From now on. `onCut` is called at most once, and not after `done`. */
  readonly begin: (onCut: (fault: GcsFault) => void) => Watched
}

interface Flight {
  last: number
  readonly end: number
  readonly onCut: (fault: GcsFault) => void
}

type Limits = Pick<GcsConfig["Service"], "attemptTimeout" | "stallTimeout">

/** Looks per stall timeout. */
const looks = 10

/** Time is counted in looks, not read from a clock that may be set: a request is cut up to one of them late. */
export const make = (limits: Limits): Effect.Effect<GcsWatch, never, Scope.Scope> =>
  Effect.gen(function* () {
    const step = Duration.toMillis(limits.stallTimeout) / looks
    const whole = Math.ceil(Duration.toMillis(limits.attemptTimeout) / step)
    const flights = new Set<Flight>()
    let now = 0

    const look = Effect.sync(() => {
      now++
      for (const flight of flights) {
        const isLate = now > flight.end
        if (!isLate && now <= flight.last + looks) continue
        flights.delete(flight)
        const reason = isLate ? `cut after ${Duration.format(limits.attemptTimeout)}` : "no progress"
        flight.onCut(cut(isLate ? reason : `${reason} for ${Duration.format(limits.stallTimeout)}`))
      }
    })
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(step), look)))

    const begin: GcsWatch["begin"] = (onCut) => {
      const flight: Flight = { last: now, end: now + whole, onCut }
      flights.add(flight)
      return {
        moved: () => {
          flight.last = now
        },
        done: () => flights.delete(flight)
      }
    }

    return { begin }
  })
