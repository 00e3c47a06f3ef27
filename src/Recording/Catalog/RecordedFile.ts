/** A snapshot of an audio file, with its pieces read page by page. */
import { createHash } from "node:crypto"
import { Effect, Schema } from "effect"
import { Placement, type Timeline } from "../../Audio.ts"
import type { DbError } from "../../Db.ts"
import type { Chunk } from "../Chunk.ts"
import type { FileState } from "./IndexChange.ts"
import type { Name } from "./IndexRows.ts"
import type { LiveOverlay } from "./LiveOverlay.ts"
import { isFull, type Page, type PageOfRange, pageSize, type SampleRange } from "./ChunkPages.ts"
import type { Placed } from "./LayoutMerge.ts"

/** The file's bytes have changed since it was opened. */
export class AudioFileChanged extends Schema.TaggedError<AudioFileChanged>()("AudioFileChanged", {
  uid: Schema.String,
  conversation: Schema.String,
  file: Schema.String
}) {
  override get message() {
    return `the audio file ${this.file} of ${this.conversation} has changed since it was opened: request it again`
  }
}

export interface AudioFileHead extends Timeline.Summary {
  /** Stays the same while the file grows. */
  readonly id: string
}

export interface PiecePage {
  /** By offset; the first and the last one may extend beyond the page. */
  readonly pieces: ReadonlyArray<Timeline.Piece<Chunk>>
  readonly end: number
}

export interface RecordedFile extends AudioFileHead {
  /** Changes when existing bytes change, not when the file grows. Letters, digits, `-` and `_`. */
  readonly version: string
  pieces(from: number, to: number): Effect.Effect<PiecePage, DbError | AudioFileChanged>
}

/** Reads of a page before a concurrently changing index fails it. */
const attempts = 3

export interface FileSnapshot {
  readonly id: string
  readonly state: FileState
  /** Revision of the file's row; none if the file begins with live chunks. */
  readonly revision: number | undefined
  readonly view: LiveOverlay
  /** A page of the file as its row says. */
  readonly near?: PageOfRange | undefined
}

/** Whether the page has all chunks of the range, or at least the first ones. */
const hasRange = ({ from, page, to }: PageOfRange, origin: number, range: SampleRange) => {
  const last = page.rows.at(-1)
  return (
    origin + from <= range.from &&
    range.to <= origin + to &&
    (!isFull(page) || (last !== undefined && last.placement.at + last.placement.heard > range.from))
  )
}

export function headOf(id: string, state: FileState): AudioFileHead {
  return {
    id,
    start: state.start,
    sampleRate: state.sampleRate,
    codec: state.codec,
    samples: state.endAt - Placement.positionOf(state.start, state.sampleRate),
    capturedSamples: state.captured,
    lostSamples: state.lost
  }
}

/** Hexadecimal digits of the first chunk's id: with the revision, they tell a file from one recorded after a purge. */
const idDigits = 8

/** Growth at the end keeps the version; live chunks between stored ones change it. */
const versionOf = ({ revision: changes = 0, state, view }: FileSnapshot): string => {
  const revision = `${state.firstId.slice(0, idDigits)}-${changes}`
  const pieces = view.inserted(state)
  if (pieces.length === 0) return revision
  const parts = pieces.map(({ chunk, placement: { at, heard, skip } }) => `${chunk.id} ${at} ${skip} ${heard}`)
  return `${revision}-${createHash("sha256").update(parts.join("\n")).digest("base64url")}`
}

const pieceOf = (origin: number, { chunk, placement: { at, heard, skip } }: Placed<Chunk>): Timeline.Piece<Chunk> => ({
  chunk,
  offset: at - origin,
  skip,
  samples: heard
})

interface Opened {
  readonly name: Name
  readonly head: AudioFileHead
  readonly version: string
  readonly origin: number
  /** Reads the current state of the file. */
  readonly now: Effect.Effect<FileSnapshot | undefined, DbError>
  /** Reads rows of the index. */
  readonly page: (state: FileState, range: SampleRange) => Effect.Effect<Page, DbError>
  /** Serves the first read. */
  snapshot: FileSnapshot | undefined
}

const piecesOf = ({ state, view }: FileSnapshot, stored: Page, range: SampleRange, origin: number): PiecePage => {
  const last = stored.rows.at(-1)
  const isPart = isFull(stored) && last !== undefined
  const end = isPart ? Math.min(range.to, last.placement.at + last.placement.heard) : range.to
  const rows = stored.rows.filter(({ chunk }) => !view.isSuperseded(chunk))
  const all = [...rows, ...view.placed(state, range.from, end)].sort((a, b) => a.placement.at - b.placement.at)
  const rest = all[pageSize + 1]
  return {
    pieces: all.slice(0, pageSize + 1).map((placed) => pieceOf(origin, placed)),
    end: (rest === undefined ? end : rest.placement.at) - origin
  }
}

const read = Effect.fnUntracedEager(function* (
  file: Opened,
  from: number,
  to: number
): Effect.fn.Return<PiecePage, DbError | AudioFileChanged> {
  const { head, name, now, origin, page, version } = file
  const changed = () => new AudioFileChanged({ ...name, file: head.id })
  const range = { from: origin + from, to: origin + to }
  for (let attempt = 0; attempt < attempts; attempt++) {
    const snapshot: FileSnapshot | undefined = file.snapshot ?? (yield* now)
    const isOpened = file.snapshot !== undefined
    file.snapshot = undefined
    if (snapshot === undefined) return yield* changed()
    const { near, revision, state, view } = snapshot
    if (!isOpened && (state.start !== head.start || versionOf(snapshot) !== version)) return yield* changed()
    const stored = view.isAppended(state)
      ? { revision, rows: [] }
      : near !== undefined && hasRange(near, origin, range)
        ? near.page
        : yield* page(state, range)
    if (stored.revision === revision) return piecesOf(snapshot, stored, range, origin)
  }
  return yield* changed()
})

/** `now` reads the current state of the file; `page` reads rows of the index. */
export function make(name: Name, snapshot: FileSnapshot, now: Opened["now"], page: Opened["page"]): RecordedFile {
  const head = headOf(snapshot.id, snapshot.state)
  const version = versionOf(snapshot)
  const origin = Placement.positionOf(head.start, head.sampleRate)
  const file: Opened = { name, head, version, origin, now, page, snapshot }
  return { ...head, version, pieces: (from, to) => read(file, from, to) }
}
