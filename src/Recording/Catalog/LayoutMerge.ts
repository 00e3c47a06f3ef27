/** Merges chunks into a layout. The following rows are fed in order until one, and so all after it, is placed as before. */
import { Placement, Timeline } from "../../Audio.ts"

export interface Key {
  readonly start: number
  readonly id: string
}

export interface Placed<C> {
  readonly chunk: C
  readonly placement: Placement.Placement
}

export interface Change<C> extends Placed<C> {
  /** A new chunk, or one that replaces the row with the same key. */
  readonly isAdded: boolean
  readonly isNew: boolean
  /** Added, or placed differently than before. */
  readonly isChanged: boolean
}

export interface Sums {
  chunks: number
  captured: number
  lost: number
}

/** The part of an audio file inside the new layout. */
export interface Run extends Sums {
  readonly start: number
  readonly id: string
  readonly sampleRate: number
  readonly codec: Timeline.TimelineChunk["codec"]
  /** Continues the file of the row before the new layout. */
  readonly isContinued: boolean
  last: Key
  /** Position after its last audio or lost span. */
  end: number
  /** Position of the first sample that may have changed. */
  changedAt: number
}

/** `captured` and `lost` in seconds. */
export interface Total {
  captured: number
  lost: number
  chunks: number
  files: number
}
const noTotal = (): Total => ({ captured: 0, lost: 0, chunks: 0, files: 0 })

export type Indexed = Timeline.TimelineChunk & { readonly id: string }

const none = (): Sums => ({ chunks: 0, captured: 0, lost: 0 })

const add = (sums: Sums, { heard, lost }: Placement.Placement): void => {
  sums.chunks++
  sums.captured += heard
  sums.lost += lost
}

const isEqual = (a: Placement.Placement, b: Placement.Placement): boolean =>
  a.begins === b.begins &&
  a.at === b.at &&
  a.skip === b.skip &&
  a.heard === b.heard &&
  a.lost === b.lost &&
  Placement.isSame(a.state, b.state)

export class LayoutMerge<C extends Indexed> {
  readonly #gapSeconds: number
  readonly #replaces: (added: C, row: C) => boolean
  readonly #additions: Array<C>
  #state: Placement.State | undefined
  #placed: Array<Change<C>> = []
  #total = noTotal()
  reached: Key = { start: -Infinity, id: "" }
  /** In order; all but the last one are complete. */
  runs: Array<Run> = []
  /** Previous sums of the rows: those in the first file, and those since the last row that began a file. */
  readonly wasFirst = none()
  wasLast = none()
  hasCrossed = false

  /** `before`: state after the row before the first addition. `replaces`: whether an addition replaces the row with its key. */
  constructor(
    before: Placement.State | undefined,
    additions: ReadonlyArray<C>,
    options: { readonly gapSeconds: number; readonly replaces: (added: C, row: C) => boolean }
  ) {
    this.#state = before
    this.#additions = additions.toSorted(Timeline.order).toReversed()
    this.#gapSeconds = options.gapSeconds
    this.#replaces = options.replaces
  }

  get rest(): ReadonlyArray<C> {
    return this.#additions.toReversed()
  }

  /** Takes the chunks laid out since the last call, and the change of the conversation's totals. */
  take(): { readonly placed: ReadonlyArray<Change<C>>; readonly total: Total } {
    const taken = { placed: this.#placed, total: this.#total }
    this.#placed = []
    this.#total = noTotal()
    return taken
  }

  /** Lays out the next rows; returns whether the layout converged: all later rows are unchanged. */
  feed(rows: ReadonlyArray<Placed<C>>): boolean {
    const last = rows.at(-1)?.chunk
    for (const { chunk, placement } of rows) {
      this.#addUpTo(chunk)
      const same = this.#additions.at(-1)
      const isReplaced = same !== undefined && Timeline.order(same, chunk) === 0
      if (isReplaced) this.#additions.pop()
      const taken = isReplaced && this.#replaces(same, chunk) ? same : chunk
      const state = this.#place(taken, placement, taken !== chunk)
      this.reached = chunk
      const next = this.#additions.at(-1)
      const isLater = next === undefined || (last !== undefined && Timeline.order(next, last) > 0)
      if (isLater && Placement.isSame(state, placement.state)) return true
    }
    return false
  }

  /** Lays out the remaining additions; no row follows. */
  end(): void {
    this.#addUpTo(undefined)
  }

  #addUpTo(row: C | undefined): void {
    for (let next = this.#additions.at(-1); next !== undefined; next = this.#additions.at(-1)) {
      if (row !== undefined && Timeline.order(next, row) >= 0) return
      this.#additions.pop()
      if (next.samples > 0) this.#place(next, undefined, true)
    }
  }

  #place(chunk: C, was: Placement.Placement | undefined, isAdded: boolean): Placement.State {
    const placement = Placement.place(this.#state, chunk, this.#gapSeconds)
    const { begins, state } = placement
    this.#state = state
    const isChanged = isAdded || was === undefined || !isEqual(placement, was)
    if (begins || this.runs.length === 0) {
      const { codec, id, sampleRate, start } = chunk
      const fresh = { last: chunk, end: state.end, changedAt: Infinity, ...none() }
      this.runs.push({ start, id, sampleRate, codec, isContinued: !begins, ...fresh })
    }
    const run = this.runs.at(-1)
    if (run !== undefined) {
      add(run, placement)
      run.last = { start: chunk.start, id: chunk.id }
      run.end = state.end
      const isMoved = was === undefined || placement.at !== was.at || placement.skip !== was.skip
      if (isAdded || isMoved || placement.heard !== was.heard)
        run.changedAt = Math.min(run.changedAt, placement.at, was?.at ?? Infinity)
    }
    if (was !== undefined) this.#forget(was)
    const total = this.#total
    total.captured += (placement.heard - (was?.heard ?? 0)) / chunk.sampleRate
    total.lost += (placement.lost - (was?.lost ?? 0)) / chunk.sampleRate
    total.chunks += was === undefined ? 1 : 0
    total.files += (begins ? 1 : 0) - (was?.begins === true ? 1 : 0)
    this.#placed.push({ chunk, placement, isAdded, isNew: was === undefined, isChanged })
    return state
  }

  #forget(was: Placement.Placement): void {
    if (was.begins) {
      this.hasCrossed = true
      this.wasLast = none()
    }
    add(this.wasLast, was)
    if (!this.hasCrossed) add(this.wasFirst, was)
  }
}
