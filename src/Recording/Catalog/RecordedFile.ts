/** An audio file as it was when it was opened, and what is heard in any part of it, a page at a time. */
import { createHash } from "node:crypto"
import { Effect, Schema } from "effect"
import { Placement, type Timeline } from "../../Audio.ts"
import type { DbError } from "../../Db.ts"
import type { Chunk } from "../Chunk.ts"
import type { FileState } from "./LayOut.ts"
import type { Name } from "./IndexRows.ts"
import type { LiveView } from "./LiveView.ts"
import type { Page } from "./PieceRows.ts"
import type { Placed } from "./Relayout.ts"

/** Bytes of the file are others than when it was opened. */
export class AudioFileChanged extends Schema.TaggedError<AudioFileChanged>()("AudioFileChanged", {
  uid: Schema.String,
  conversation: Schema.String,
  file: Schema.String
}) {
  override get message() {
    return `the audio file ${this.file} of ${this.conversation} has changed`
  }
}

export interface AudioFileHead extends Timeline.Summary {
  /** Stays the same while the file grows. */
  readonly id: string
}

export interface PiecePage {
  /** By offset; the first and the last one may reach beyond the page. */
  readonly pieces: ReadonlyArray<Timeline.Piece<Chunk>>
  /** Sample at which the page ends. */
  readonly end: number
}

export interface RecordedFile extends AudioFileHead {
  /** Other bytes of the samples that it has in common with another one mean another version. */
  readonly version: string
  /** What is heard from sample `from` to `to`, or the first part of it. */
  pieces(from: number, to: number): Effect.Effect<PiecePage, DbError | AudioFileChanged>
}

/** Chunks of a page: about half an hour of audio. */
const pageSize = 32

/** How often a page is read anew because the index was written to meanwhile. */
const attempts = 3

/** A file at one moment. */
export interface FileMoment {
  readonly id: string
  readonly state: FileState
  /** Of the file's row: none if live chunks begin the file. */
  readonly revision: number | undefined
  readonly view: LiveView
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

/** What grows at its end keeps its version; of what is live between stored chunks each piece counts. */
const versionOf = ({ revision = 0, state, view }: FileMoment): string => {
  const pieces = view.inserted(state)
  if (pieces.length === 0) return String(revision)
  const parts = pieces.map(({ chunk, placement: { at, heard, skip } }) => `${chunk.id} ${at} ${skip} ${heard}`)
  return `${revision} ${createHash("sha256").update(parts.join("\n")).digest("base64url")}`
}

const pieceOf = (origin: number, { chunk, placement: { at, heard, skip } }: Placed<Chunk>): Timeline.Piece<Chunk> => ({
  chunk,
  offset: at - origin,
  skip,
  samples: heard
})

/** `now` looks the file up again; `page` reads rows of the index. */
export function make(
  name: Name,
  opened: FileMoment,
  now: Effect.Effect<FileMoment | undefined, DbError>,
  page: (
    state: FileState,
    range: { readonly from: number; readonly to: number },
    limit: number
  ) => Effect.Effect<Page, DbError>
): RecordedFile {
  const head = headOf(opened.id, opened.state)
  const version = versionOf(opened)
  const origin = Placement.positionOf(head.start, head.sampleRate)
  const changed = new AudioFileChanged({ ...name, file: opened.id })
  /** For the first page, which is read at once. */
  let first: FileMoment | undefined = opened

  const read = Effect.fnUntraced(function* (
    from: number,
    to: number
  ): Effect.fn.Return<PiecePage, DbError | AudioFileChanged> {
    const range = { from: origin + from, to: origin + to }
    for (let attempt = 0; attempt < attempts; attempt++) {
      const moment: FileMoment | undefined = first ?? (yield* now)
      first = undefined
      if (moment === undefined || moment.state.start !== head.start || versionOf(moment) !== version)
        return yield* changed
      const { revision, state, view } = moment
      const stored = view.isAppended(state) ? { revision, rows: [] } : yield* page(state, range, pageSize)
      if (stored.revision !== revision) continue
      const last = stored.rows.at(-1)
      const isPart = stored.rows.length >= pageSize && last !== undefined
      const end = isPart ? Math.min(range.to, last.placement.at + last.placement.heard) : range.to
      const rows = stored.rows.filter(({ chunk }) => !view.isSuperseded(chunk))
      const all = [...rows, ...view.placed(state, range.from, end)].sort((a, b) => a.placement.at - b.placement.at)
      const rest = all[pageSize + 1]
      return {
        pieces: all.slice(0, pageSize + 1).map((placed) => pieceOf(origin, placed)),
        end: (rest === undefined ? end : rest.placement.at) - origin
      }
    }
    return yield* changed
  })
  return { ...head, version, pieces: read }
}
