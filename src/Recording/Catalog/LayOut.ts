/**
 * Lays out additions among the rows of a conversation that is laid out already, a page at a time, and says what changes. The
 * index is written with it, and what is still in the journal is laid over it with it.
 */
import { Effect } from "effect"
import { Timeline } from "../../Audio.ts"
import type { FileRow } from "./IndexRows.ts"
import { type Change, type Indexed, type Key, type Placed, Relayout, type Run, type Total } from "./Relayout.ts"

/** Before and after all. */
export const first: Key = { start: -Infinity, id: "00000000-0000-0000-0000-000000000000" }
export const last: Key = { start: Infinity, id: "ffffffff-ffff-ffff-ffff-ffffffffffff" }

export type FileState = Omit<FileRow, "id" | "revision">

export interface FileChange extends FileState {
  /** Position of the first sample that may be another one than before. */
  readonly changedAt: number
  /** Position at which it ended before; none of a file that is new. */
  readonly wasEndAt: number | undefined
  /** It begins behind all that there was. */
  readonly isAppended: boolean
}

export interface Around<C> {
  readonly before: (Placed<C> & { readonly file: FileState }) | undefined
  /** In order. */
  readonly after: ReadonlyArray<Placed<C>>
}

/** What is laid out already. */
export interface Rows<C, E> {
  /** The row before a key, with the audio file that it is in, and the rows from the key on. */
  around(key: Key, limit: number): Effect.Effect<Around<C>, E>
  /** In order. */
  after(key: Key, limit: number): Effect.Effect<ReadonlyArray<Placed<C>>, E>
  /** The last audio file that begins at or before a key. */
  fileAt(key: Key): Effect.Effect<FileState | undefined, E>
  /** Sums of the rows from one key to another, both included. */
  sums(from: Key, to: Key): Effect.Effect<FileSums, E>
}

/** What changes in a page of rows. */
export interface PageChange<C> {
  /** All chunks after `from` and up to `to`, as they are now. */
  readonly placed: ReadonlyArray<Change<C>>
  readonly from: Key
  readonly to: Key
  /** All that begin after `from` and up to `to`, and others that have changed. */
  readonly files: ReadonlyArray<FileChange>
  /** Begins there and is not complete yet. */
  readonly open: Run | undefined
  readonly total: Total
}

export interface Bounds {
  readonly gapSeconds: number
  /** Rows that are read at first: most chunks change the next one at most. */
  readonly firstPage: number
  /** Rows that are read at a time, if those were not enough. */
  readonly nextPage: number
  /** Rows that are read at most; a pass that needs more ends without a result. */
  readonly most: number
}

export interface Options<C> extends Bounds {
  /** Of two chunks with the same key, the added one is taken. */
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

/** What is known when a pass is at its end. */
interface Reached<C extends Indexed, E> {
  readonly before: (Placed<C> & { readonly file: FileState }) | undefined
  /** The part of the file of the row before, if it goes on. */
  readonly head: Run | undefined
  /** Audio files that begin in what was laid out and are not complete without what is behind it. */
  readonly files: ReadonlyArray<FileChange>
  readonly relayout: Relayout<C>
  /** Rows follow, and stay as they are. */
  readonly isConverged: boolean
  /** As it was: the last file that began in what was laid out. */
  readonly lastFile: FileState | undefined
  /** Sums of the file of the row before, up to that row. */
  readonly sumsBefore: Effect.Effect<FileSums, E>
}
/** The rows of the audio files at both ends of what was laid out, with what lies before and behind it. */
const filesAt = Effect.fnUntraced(function* <C extends Indexed, E>(reached: Reached<C, E>) {
  const { before, head, isConverged, lastFile, relayout, sumsBefore } = reached
  const files = [...reached.files]
  const file = before?.file
  const tailFile = relayout.hasCrossed ? lastFile : file
  const isSplit = isConverged && !relayout.hasCrossed && files.length > 0
  // Without a split, what was not laid out of the file counts as before: it is not known where it lies.
  const earlier = isSplit ? yield* sumsBefore : file === undefined ? none : minus(file, relayout.wasFirst)
  if (isConverged && tailFile !== undefined && (relayout.hasCrossed || isSplit)) {
    const was = relayout.hasCrossed ? relayout.wasLast : plus(earlier, relayout.wasFirst)
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
  if (before === undefined || file === undefined || (head === undefined && relayout.wasFirst.chunks === 0 && !isSplit))
    return files
  const isInside = isConverged && !relayout.hasCrossed && !isSplit
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
 * Lays out additions, in order, from the first one on; returns those that lie behind what it has reached. None if it would
 * have to read more rows than it may; what it has told until then is to be forgotten.
 */
export const layOut = Effect.fnUntraced(function* <C extends Indexed, E>(
  rows: Rows<C, E>,
  additions: ReadonlyArray<C>,
  { firstPage, gapSeconds, most, nextPage, replaces }: Options<C>,
  onChange: (change: PageChange<C>) => Effect.Effect<unknown, E>
) {
  const around: Around<C> = yield* rows.around(additions[0] ?? last, firstPage)
  const { before } = around
  const relayout = new Relayout(before?.placement.state, additions, { gapSeconds, replaces })
  const sumsBefore =
    before === undefined
      ? Effect.succeed(none)
      : rows.sums({ start: before.file.start, id: before.file.firstId }, before.chunk)
  let from: Key = before?.chunk ?? first
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
    const isConverged = relayout.feed(page)
    const isDone = isConverged || page.length < limit
    if (!isDone && read >= most) return undefined
    if (isDone && !isConverged) relayout.end()
    const to = isDone && !isConverged ? last : relayout.reached
    if (page.length > 0) {
      const file: FileState | undefined = yield* rows.fileAt(to)
      if (file !== undefined && Timeline.order({ start: file.start, id: file.firstId }, from) > 0) lastFile = file
    }
    const runs = isDone ? relayout.runs : relayout.runs.slice(0, -1)
    const open = isDone ? undefined : relayout.runs.at(-1)
    relayout.runs = open === undefined ? [] : [open]
    if (runs[0]?.isContinued === true) head = runs.shift()
    const begun = runs.map((run) => fileOf(run, read === 0))
    const files = isDone
      ? yield* filesAt({ before, head, files: begun, relayout, isConverged, lastFile, sumsBefore })
      : begun
    const { placed, total } = relayout.take()
    isChanged ||= placed.some((each) => each.isChanged)
    if (isChanged) yield* onChange({ placed, from, to, files, open, total })
    if (isDone) return relayout.rest
    from = to
    limit = nextPage
  }
})
