/** Computes how new chunks change the index of a conversation, page by page: to write it, or to overlay it with live chunks. */
import { Effect } from "effect"
import { Timeline } from "../../Audio.ts"
import type { FileRow } from "./IndexRows.ts"
import { type Change, type Indexed, type Key, type Placed, LayoutMerge, type Run, type Total } from "./LayoutMerge.ts"

/** Less and greater than every key. */
export const minKey: Key = { start: -Infinity, id: "00000000-0000-0000-0000-000000000000" }
export const maxKey: Key = { start: Infinity, id: "ffffffff-ffff-ffff-ffff-ffffffffffff" }

export type FileState = Omit<FileRow, "id" | "revision">

export interface FileChange extends FileState {
  /** Position of the first sample that may have changed. */
  readonly changedAt: number
  readonly wasEndAt: number | undefined
  readonly isAppended: boolean
}

export interface Neighbors<C> {
  readonly before: (Placed<C> & { readonly file: FileState }) | undefined
  readonly after: ReadonlyArray<Placed<C>>
}

export interface Rows<C, E> {
  /** The row before a key with its audio file, and the rows from the key on. */
  around(key: Key, limit: number): Effect.Effect<Neighbors<C>, E>
  after(key: Key, limit: number): Effect.Effect<ReadonlyArray<Placed<C>>, E>
  fileAt(key: Key): Effect.Effect<FileState | undefined, E>
  /** Sums of the rows from one key to another (inclusive). */
  sums(from: Key, to: Key): Effect.Effect<FileSums, E>
}

export interface IndexChange<C> {
  /** All chunks after `from` up to `to`, in their new placement. */
  readonly placed: ReadonlyArray<Change<C>>
  readonly from: Key
  readonly to: Key
  /** All files that begin after `from` up to `to`, and others that have changed. */
  readonly files: ReadonlyArray<FileChange>
  /** The incomplete file at the end of the page. */
  readonly open: Run | undefined
  readonly total: Total
}

export interface Bounds {
  readonly gapSeconds: number
  /** Rows of the first page; most chunks change at most the next row. */
  readonly firstPage: number
  readonly nextPage: number
  /** Most rows that are read; a computation that needs more has no result. */
  readonly most: number
}

export interface Options<C> extends Bounds {
  /** Whether a new chunk replaces the row with the same key. */
  readonly replaces: (added: C, row: C) => boolean
}

export type FileSums = Pick<FileState, "chunks" | "captured" | "lost">

const none: FileSums = { chunks: 0, captured: 0, lost: 0 }
const plus = (a: FileSums, b: FileSums): FileSums => ({
  chunks: a.chunks + b.chunks,
  captured: a.captured + b.captured,
  lost: a.lost + b.lost
})
const minus = (a: FileSums, b: FileSums): FileSums => ({
  chunks: a.chunks - b.chunks,
  captured: a.captured - b.captured,
  lost: a.lost - b.lost
})
type Ending = Pick<FileState, "endAt" | "lastStart" | "lastId">
const endOf = ({ endAt, lastId, lastStart }: Ending): Ending => ({ endAt, lastStart, lastId })

const fileOf = (run: Run, isAppended: boolean): FileChange => ({
  start: run.start,
  firstId: run.id,
  sampleRate: run.sampleRate,
  codec: run.codec,
  endAt: run.end,
  captured: run.captured,
  lost: run.lost,
  chunks: run.chunks,
  lastStart: run.last.start,
  lastId: run.last.id,
  changedAt: run.changedAt,
  wasEndAt: undefined,
  isAppended
})

interface Reached<C extends Indexed, E> {
  readonly before: (Placed<C> & { readonly file: FileState }) | undefined
  /** The continuation of the previous row's file, if it has one. */
  readonly head: Run | undefined
  /** Audio files that begin in the new layout; the last one may continue after it. */
  readonly files: ReadonlyArray<FileChange>
  readonly merge: LayoutMerge<C>
  readonly isConverged: boolean
  readonly lastFile: FileState | undefined
  readonly sumsBefore: Effect.Effect<FileSums, E>
}
/** The changed audio files, with those at both ends completed by the rows outside the new layout. */
const filesAt = Effect.fnUntraced(function* <C extends Indexed, E>(reached: Reached<C, E>) {
  const { before, head, isConverged, lastFile, merge, sumsBefore } = reached
  const files = [...reached.files]
  const file = before?.file
  const tailFile = merge.hasCrossed ? lastFile : file
  const isSplit = isConverged && !merge.hasCrossed && files.length > 0
  // Without a split, the rest of the file counts as before: whether it lies before or after is unknown.
  const earlier = isSplit ? yield* sumsBefore : file === undefined ? none : minus(file, merge.wasFirst)
  if (isConverged && tailFile !== undefined && (merge.hasCrossed || isSplit)) {
    const was = merge.hasCrossed ? merge.wasLast : plus(earlier, merge.wasFirst)
    const rest = { ...minus(tailFile, was), ...endOf(tailFile) }
    const tail = files.pop()
    if (tail !== undefined) files.push({ ...tail, ...plus(tail, rest), ...endOf(rest) })
    else if (file !== undefined && head !== undefined)
      return [
        {
          ...file,
          ...plus(plus(earlier, head), rest),
          ...endOf(rest),
          changedAt: head.changedAt,
          wasEndAt: file.endAt,
          isAppended: false
        }
      ]
  }
  if (before === undefined || file === undefined || (head === undefined && merge.wasFirst.chunks === 0 && !isSplit))
    return files
  const isInside = isConverged && !merge.hasCrossed && !isSplit
  const ending =
    head === undefined
      ? { endAt: before.placement.state.end, lastStart: before.chunk.start, lastId: before.chunk.id }
      : { endAt: head.end, lastStart: head.last.start, lastId: head.last.id }
  const sums = plus(earlier, head ?? none)
  return [
    ...files,
    {
      ...file,
      ...sums,
      ...(isInside ? endOf(file) : ending),
      changedAt: head?.changedAt ?? Infinity,
      wasEndAt: file.endAt,
      isAppended: false
    }
  ]
})

/**
 * Lays out sorted additions from the first one on, and returns those after the point at which the layout converged. None if
 * more than `most` rows are needed; the caller then discards all reported changes.
 */
export const computeChanges = Effect.fnUntraced(function* <C extends Indexed, E>(
  rows: Rows<C, E>,
  additions: ReadonlyArray<C>,
  { firstPage, gapSeconds, most, nextPage, replaces }: Options<C>,
  onChange: (change: IndexChange<C>) => Effect.Effect<unknown, E>
) {
  const around: Neighbors<C> = yield* rows.around(additions[0] ?? maxKey, firstPage)
  const { before } = around
  const merge = new LayoutMerge(before?.placement.state, additions, { gapSeconds, replaces })
  const sumsBefore =
    before === undefined
      ? Effect.succeed(none)
      : rows.sums({ start: before.file.start, id: before.file.firstId }, before.chunk)
  let from: Key = before?.chunk ?? minKey
  let head: Run | undefined
  let lastFile: FileState | undefined
  let limit = firstPage
  let read = 0
  let isFirst = true
  let isChanged = false
  for (;;) {
    const page: ReadonlyArray<Placed<C>> = isFirst ? around.after : yield* rows.after(from, limit)
    isFirst = false
    read += page.length
    const isConverged = merge.feed(page)
    const isDone = isConverged || page.length < limit
    if (!isDone && read >= most) return undefined
    if (isDone && !isConverged) merge.end()
    const to = isDone && !isConverged ? maxKey : merge.reached
    if (page.length > 0) {
      const file: FileState | undefined = yield* rows.fileAt(to)
      if (file !== undefined && Timeline.order({ start: file.start, id: file.firstId }, from) > 0) lastFile = file
    }
    const runs = isDone ? merge.runs : merge.runs.slice(0, -1)
    const open = isDone ? undefined : merge.runs.at(-1)
    merge.runs = open === undefined ? [] : [open]
    if (runs[0]?.isContinued === true) head = runs.shift()
    const begun = runs.map((run) => fileOf(run, read === 0))
    const files = isDone
      ? yield* filesAt({ before, head, files: begun, merge, isConverged, lastFile, sumsBefore })
      : begun
    const { placed, total } = merge.take()
    isChanged ||= placed.some((each) => each.isChanged)
    if (isChanged) yield* onChange({ placed, from, to, files, open, total })
    if (isDone) return merge.rest
    from = to
    limit = nextPage
  }
})
