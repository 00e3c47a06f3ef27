/**
 * A snapshot of a conversation: its index overlaid with the chunks in the journal. Those nearly always follow all stored
 * chunks and are laid out from the state of the last row; chunks between stored rows are laid out with them.
 */
import { Effect } from "effect"
import { Timeline } from "../../Audio.ts"
import type { Chunk } from "../Chunk.ts"
import {
  type Bounds,
  type FileChange,
  type FileState,
  computeChanges,
  type IndexChange,
  type Rows
} from "./IndexChange.ts"
import type { FileRow } from "./IndexRows.ts"
import type { Key, Placed, Total } from "./LayoutMerge.ts"

export interface Tail extends Placed<Chunk> {
  readonly file: FileRow
}

export function keyOf({ firstId, start }: Pick<FileRow, "firstId" | "start">): Key {
  return { start, id: firstId }
}

const nameOf = ({ id, start }: Key): string => `${start} ${id}`

/** A range of keys in which placements differ from the index. */
interface Region {
  /** Exclusive. */
  readonly from: Key
  readonly to: Key
  readonly placed: ReadonlyArray<Placed<Chunk>>
}

const isIn = ({ from, to }: Region, key: Key): boolean => Timeline.order(key, from) > 0 && Timeline.order(key, to) <= 0

export class LiveOverlay {
  #regions: ReadonlyArray<Region> = []
  #files: ReadonlyMap<string, FileChange> = new Map()
  /** Stored rows were read again, for live chunks that do not all follow them. */
  hasRead = false
  /** Difference to the totals of the conversation's row. */
  total: Total = { captured: 0, lost: 0, chunks: 0, files: 0 }

  /** Audio files that are new or differ from the index. */
  get files(): Iterable<FileChange> {
    return this.#files.values()
  }

  /** Returns the function that restores the current state. */
  savepoint(): () => void {
    const [regions, files, total] = [this.#regions, this.#files, this.total]
    return () => {
      this.#regions = regions
      this.#files = files
      this.total = total
    }
  }

  add({ files, from, placed, to, total }: IndexChange<Chunk>): void {
    this.#regions = [...this.#regions, { from, to, placed }]
    const changed = files.map((file) => {
      const name = nameOf(keyOf(file))
      const before = this.#files.get(name)
      if (before === undefined) return [name, file] as const
      const { changedAt, isAppended, wasEndAt } = before
      return [name, { ...file, changedAt: Math.min(changedAt, file.changedAt), wasEndAt, isAppended }] as const
    })
    this.#files = new Map([...this.#files, ...changed])
    this.total = {
      captured: this.total.captured + total.captured,
      lost: this.total.lost + total.lost,
      chunks: this.total.chunks + total.chunks,
      files: this.total.files + total.files
    }
  }

  /** Whether the overlay replaces the index at this key. */
  isSuperseded(key: Key): boolean {
    return this.#regions.some((region) => isIn(region, key))
  }

  /** The current state of a file in the index; none if it no longer exists. */
  fileOf<F extends FileState>(file: F): F | FileChange | undefined {
    const key = keyOf(file)
    return this.#files.get(nameOf(key)) ?? (this.isSuperseded(key) ? undefined : file)
  }

  isAppended(file: FileState): boolean {
    return this.#files.get(nameOf(keyOf(file)))?.isAppended === true
  }

  placementOf(id: string): Placed<Chunk> | undefined {
    for (const { placed } of this.#regions) {
      const found = placed.find(({ chunk }) => chunk.id === id)
      if (found !== undefined) return found
    }
    return undefined
  }

  get live(): ReadonlyArray<Placed<Chunk>> {
    return this.#regions.flatMap(({ placed }) =>
      placed.filter(({ chunk: { state } }) => state === "open" || state === "sealed")
    )
  }

  /** Overlaid chunks of the file if they change more than its end. */
  inserted(file: FileState): ReadonlyArray<Placed<Chunk>> {
    const change = this.#files.get(nameOf(keyOf(file)))
    if (change === undefined || change.isAppended || change.changedAt >= (change.wasEndAt ?? Infinity)) return []
    return this.placed(file, -Infinity, Infinity)
  }

  /** Overlaid chunks of the file that are heard between positions `from` and `to`. */
  placed(file: FileState, from: number, to: number): ReadonlyArray<Placed<Chunk>> {
    const last = { start: file.lastStart, id: file.lastId }
    return this.#regions.flatMap((region) =>
      region.placed.filter(
        ({ chunk, placement: { at, heard } }) =>
          heard > 0 &&
          at < to &&
          at + heard > from &&
          Timeline.order(chunk, keyOf(file)) >= 0 &&
          Timeline.order(chunk, last) <= 0
      )
    )
  }
}

/** Live chunks that need more rows than `most` are left out until they are stored. */
const bounds: Bounds = { gapSeconds: Timeline.fileGapSeconds, firstPage: 16, nextPage: 500, most: 2_000 }

const latest = (a: FileState | undefined, b: FileState | undefined): FileState | undefined =>
  a === undefined || (b !== undefined && Timeline.order(keyOf(a), keyOf(b)) < 0) ? b : a

/** The rows of the index with the files of the overlay. */
const overlaid = <E>(rows: Rows<Chunk, E>, view: LiveOverlay): Rows<Chunk, E> => {
  const fileAt = (key: Key, stored: FileState | undefined) =>
    [...view.files]
      .filter((file) => Timeline.order(keyOf(file), key) <= 0)
      .reduce(latest, stored === undefined ? undefined : view.fileOf(stored))
  return {
    ...rows,
    around: (key, limit) =>
      Effect.map(rows.around(key, limit), ({ after, before }) => {
        const file = before === undefined ? undefined : fileAt(before.chunk, before.file)
        return { after, before: before === undefined || file === undefined ? undefined : { ...before, file } }
      }),
    fileAt: (key) => Effect.map(rows.fileAt(key), (stored) => fileAt(key, stored))
  }
}

/** The end of the index, for chunks that follow all rows: needs no query. */
const atEnd = (tail: Tail | undefined): Rows<Chunk, never> => ({
  around: () => Effect.succeed({ before: tail, after: [] }),
  after: () => Effect.succeed([]),
  fileAt: () => Effect.succeed(tail?.file),
  sums: () => Effect.succeed({ chunks: 0, captured: 0, lost: 0 })
})

/** `live` is read before the index; a chunk in both counts as stored. */
export const make = Effect.fnUntraced(function* <E>(
  tail: Tail | undefined,
  stored: Rows<Chunk, E>,
  live: ReadonlyArray<Chunk>,
  { gapSeconds = bounds.gapSeconds, most = bounds.most }: Partial<Bounds> = {}
) {
  const view = new LiveOverlay()
  const isAtEnd = (chunk: Chunk) => tail === undefined || Timeline.order(chunk, tail.chunk) > 0
  let rest: ReadonlyArray<Chunk> = live
    .filter((chunk) => chunk.samples > 0 && (tail === undefined || Timeline.order(chunk, tail.chunk) !== 0))
    .sort(Timeline.order)
  for (let [next] = rest; next !== undefined; [next] = rest) {
    const rollback = view.savepoint()
    view.hasRead ||= !isAtEnd(next)
    const options = { ...bounds, gapSeconds, most, replaces: () => false }
    const add = (change: IndexChange<Chunk>) => Effect.sync(() => view.add(change))
    const left: ReadonlyArray<Chunk> | undefined = isAtEnd(next)
      ? yield* computeChanges(overlaid(atEnd(tail), view), rest, options, add)
      : yield* computeChanges(overlaid(stored, view), rest, options, add)
    if (left === undefined) rollback()
    rest = left ?? rest.filter(isAtEnd)
  }
  return view
})
