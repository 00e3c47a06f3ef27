/**
 * The clock shifts of a chunk's audio: by how many seconds it is placed after its timestamps. There are several if the clock of
 * the sender was set repeatedly, or stands still, while the chunk was open.
 */

/** Shifts of one band count as one, and the last of them stands for it. A replay is searched for as far around it. */
export const bandSeconds = 0.25

/** At most so many bands of a chunk, the latest ones: what is sent again is what was sent last. */
export const maxBands = 8

export function bandOf(shift: number): number {
  return Math.round(shift / bandSeconds)
}

export class ClockShifts {
  readonly #byBand = new Map<number, number>()
  #last = 0

  /** By the time at which each was last seen, the latest last. */
  get all(): ReadonlyArray<number> {
    return [...this.#byBand.values()]
  }

  /** `shift`: seconds, more than 0. Returns whether it is another one than the last. */
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
