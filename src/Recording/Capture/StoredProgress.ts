/** Up to which of a client's timestamps the audio of a capture is in the object store. */

/** Differences of shifts that are rounding, in seconds. */
const sameShift = 1e-3

/** Parts of different shifts. At the bound the oldest is forgotten: until later audio is stored, nothing of it is reported. */
const maxParts = 64

/** Audio that was placed in order: Unix seconds `from` to `to` on the timeline, `shift` seconds after its timestamps. */
interface Part {
  readonly from: number
  to: number
  readonly shift: number
  /** Its last timestamp. */
  through: number
}

export class StoredProgress {
  #parts: Array<Part> = []
  #through: number | undefined

  /** Audio with timestamps up to `through` lies, or is recorded already, at `from` to `to` on the timeline. */
  placed(from: number, to: number, through: number): void {
    const shift = to - through
    const last = this.#parts.at(-1)
    if (last !== undefined && from >= last.from && Math.abs(shift - last.shift) < sameShift) {
      if (to > last.to) Object.assign(last, { to, through })
      return
    }
    this.#parts.push({ from, to, shift, through })
    if (this.#parts.length > maxParts) this.#parts.shift()
  }

  /** The timestamp up to which all audio is stored if the timeline is stored to `unstoredFrom`. Never decreases. */
  through(unstoredFrom: number): number | undefined {
    for (let part = this.#parts[0]; part !== undefined; part = this.#parts[0]) {
      const stored = Math.min(part.to, unstoredFrom)
      const through = stored === part.to ? part.through : stored - part.shift
      if (stored > part.from) this.#through = Math.max(this.#through ?? -Infinity, through)
      if (stored < part.to || this.#parts.length === 1) break
      this.#parts.shift()
    }
    return this.#through
  }
}
