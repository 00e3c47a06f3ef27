/**
 * How many uploads run at once: fewer when commits are late, so that uploads slow down before acknowledgements do. Halved
 * after a late commit, one more after each that is in time. Pure.
 */

/** With the default interval of commits, an acknowledgement then takes more than a second. */
export const lateMillis = 500

export class UploadPace {
  readonly #most: number
  #limit: number

  constructor(most: number) {
    this.#most = most
    this.#limit = most
  }

  /**
   * At least one, so that the journal is emptied whatever happens. `lateBy`: milliseconds since the next commit was due.
   * `isPressed`: the journal is filling up; then audio is more at risk than acknowledgements are late.
   */
  limit(lateBy: number, isPressed: boolean): number {
    if (isPressed) return this.#most
    return lateBy > lateMillis ? 1 : this.#limit
  }

  /** A commit of everybody has ended, `lateBy` milliseconds after it was due. */
  committed(lateBy: number): void {
    this.#limit = lateBy > lateMillis ? Math.max(1, this.#limit >> 1) : Math.min(this.#most, this.#limit + 1)
  }
}
