/**
 * A conversation with what is still in the journal laid over its index, at one moment. Nearly always all of that lies behind
 * what is stored, and is laid out from the state of the last row; what lies between stored rows is laid out with them.
 */
import { Effect } from "effect"
import { Timeline } from "../../Audio.ts"
import type { Chunk } from "../Chunk.ts"
import { type Bounds, type FileChange, type FileState, layOut, type PageChange, type Rows } from "./LayOut.ts"
import type { FileRow } from "./IndexRows.ts"
import type { Key, Placed, Total } from "./Relayout.ts"

/** Where the index ends. */
export interface Tail extends Placed<Chunk> {
  readonly file: FileRow
}

export function keyOf({ firstId, start }: Pick<FileRow, "firstId" | "start">): Key {
  return { start, id: firstId }
}

const nameOf = ({ id, start }: Key): string => `${start} ${id}`

/** Rows between two keys that are heard in another way than the index says. */
interface Region {
  /** Not included. */
  readonly from: Key
  readonly to: Key
  /** All of them, and what is live between them. */
  readonly placed: ReadonlyArray<Placed<Chunk>>
}

const isIn = ({ from, to }: Region, key: Key): boolean => Timeline.order(key, from) > 0 && Timeline.order(key, to) <= 0

export class LiveView {
  #regions: ReadonlyArray<Region> = []
  #files: ReadonlyMap<string, FileChange> = new Map()
  /** The index was read again for live chunks that do not all lie behind it. */
  hasRead = false
  /** What the sums of the conversation change by. */
  total: Total = { captured: 0, lost: 0, chunks: 0, files: 0 }

  /** Audio files that are not, or not as the index says. */
  get files(): Iterable<FileChange> {
    return this.#files.values()
  }

  /** Undoes what is added until it is called. */
  mark(): () => void {
    const [regions, files, total] = [this.#regions, this.#files, this.total]
    return () => {
      this.#regions = regions
      this.#files = files
      this.total = total
    }
  }

  add({ files, from, placed, to, total }: PageChange<Chunk>): void {
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

  /** A chunk's row at this key is not heard as the index says. */
  isSuperseded(key: Key): boolean {
    return this.#regions.some((region) => isIn(region, key))
  }

  /** As it is now: none if it is gone. */
  fileOf<F extends FileState>(file: F): F | FileChange | undefined {
    const key = keyOf(file)
    return this.#files.get(nameOf(key)) ?? (this.isSuperseded(key) ? undefined : file)
  }

  /** Nothing of the file is in the index. */
  isAppended(file: FileState): boolean {
    return this.#files.get(nameOf(keyOf(file)))?.isAppended === true
  }

  /** A chunk that is not heard as the index says, by its id. */
  placementOf(id: string): Placed<Chunk> | undefined {
    for (const { placed } of this.#regions) {
      const found = placed.find(({ chunk }) => chunk.id === id)
      if (found !== undefined) return found
    }
    return undefined
  }

  /** Chunks that are live. */
  get live(): ReadonlyArray<Placed<Chunk>> {
    return this.#regions.flatMap(({ placed }) =>
      placed.filter(({ chunk: { state } }) => state === "open" || state === "sealed")
    )
  }

  /** All that is heard of the file in regions that do not only add to its end. */
  inserted(file: FileState): ReadonlyArray<Placed<Chunk>> {
    const change = this.#files.get(nameOf(keyOf(file)))
    if (change === undefined || change.isAppended || change.changedAt >= (change.wasEndAt ?? Infinity)) return []
    return this.placed(file, -Infinity, Infinity)
  }

  /** Live chunks of the file and rows around them that are heard in samples `from` to `to`, by position. */
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

/** Rows that are read to lay live chunks out between stored ones; beyond it they are heard when they are stored. */
const bounds: Bounds = { gapSeconds: Timeline.fileGapSeconds, firstPage: 16, nextPage: 500, most: 2_000 }

const latest = (a: FileState | undefined, b: FileState | undefined): FileState | undefined =>
  a === undefined || (b !== undefined && Timeline.order(keyOf(a), keyOf(b)) < 0) ? b : a

/** The index, with the audio files as they are in the view. */
const over = <E>(rows: Rows<Chunk, E>, view: LiveView): Rows<Chunk, E> => {
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

/** Behind the last row there is nothing. */
const behind = (tail: Tail | undefined): Rows<Chunk, never> => ({
  around: () => Effect.succeed({ before: tail, after: [] }),
  after: () => Effect.succeed([]),
  fileAt: () => Effect.succeed(tail?.file),
  sums: () => Effect.succeed({ chunks: 0, captured: 0, lost: 0 })
})

/** `live` was read before the index was: what is in both is heard as it is stored. */
export const make = Effect.fnUntraced(function* <E>(
  tail: Tail | undefined,
  stored: Rows<Chunk, E>,
  live: ReadonlyArray<Chunk>,
  { gapSeconds = bounds.gapSeconds, most = bounds.most }: Partial<Bounds> = {}
) {
  const view = new LiveView()
  const isBehind = (chunk: Chunk) => tail === undefined || Timeline.order(chunk, tail.chunk) > 0
  let rest: ReadonlyArray<Chunk> = live
    .filter((chunk) => chunk.samples > 0 && (tail === undefined || Timeline.order(chunk, tail.chunk) !== 0))
    .sort(Timeline.order)
  for (let [next] = rest; next !== undefined; [next] = rest) {
    const undo = view.mark()
    view.hasRead ||= !isBehind(next)
    const options = { ...bounds, gapSeconds, most, replaces: () => false }
    const add = (change: PageChange<Chunk>) => Effect.sync(() => view.add(change))
    const left: ReadonlyArray<Chunk> | undefined = isBehind(next)
      ? yield* layOut(over(behind(tail), view), rest, options, add)
      : yield* layOut(over(stored, view), rest, options, add)
    if (left === undefined) undo()
    rest = left ?? rest.filter(isBehind)
  }
  return view
})
