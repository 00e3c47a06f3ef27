/**
 * The clock shifts of a chunk: by how many seconds its audio is placed after its timestamps. There are several if the clock of
 * the sender was set repeatedly, or stood still, while the chunk was open.
 */

/** Shifts are rounded to bands of so many seconds, and the last one of each is kept. A replay is searched for as far around it. */
export const bandSeconds = 0.25

/**
 * Bands of one chunk; more displace the oldest ones, because what is sent again is what was sent last. A record with more is
 * taken for corrupt, so this must not become less.
 */
export const maxBands = 8

export function bandOf(shift: number): number {
  return Math.round(shift / bandSeconds)
}

export class ClockShifts {
  readonly #byBand = new Map<number, number>()
  #last = 0

  /** Seconds, in the order in which they were last added. */
  get all(): ReadonlyArray<number> {
    return [...this.#byBand.values()]
  }

  /** `shift`: seconds, more than 0. Returns whether `all` has changed. */
  add(shift: number): boolean {
    if (shift === this.#last) return false
    this.#last = shift
    const band = bandOf(shift)
    this.#byBand.delete(band)
    this.#byBand.set(band, shift)
    if (this.#byBand.size <= maxBands) return true
    const [oldest] = this.#byBand.keys()
    if (oldest !== undefined) this.#byBand.delete(oldest)
    return true
  }
}
