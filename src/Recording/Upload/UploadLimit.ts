/** Concurrent uploads: halved after a late commit, one more after a timely one, so that uploads yield to acknowledgements. */

/** Lateness of a commit at which acknowledgements take over a second with the default commit interval. */
export const lateMillis = 500

export class UploadLimit {
  readonly #most: number
  #limit: number

  constructor(most: number) {
    this.#most = most
    this.#limit = most
  }

  /**
   * At least one. `lateBy`: milliseconds since the next commit was due. `isPressed`: the journal is filling up; uploads then
   * take precedence over timely acknowledgements.
   */
  limit(lateBy: number, isPressed: boolean): number {
    if (isPressed) return this.#most
    return lateBy > lateMillis ? 1 : this.#limit
  }

  /** A periodic commit has ended, `lateBy` milliseconds after it was due. */
  committed(lateBy: number): void {
    this.#limit = lateBy > lateMillis ? Math.max(1, Math.floor(this.#limit / 2)) : Math.min(this.#most, this.#limit + 1)
  }
}
