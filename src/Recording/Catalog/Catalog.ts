/** Conversations and their audio files: the index, overlaid with the chunks in the journal. No query reads a whole conversation. */
import { Context, Effect, Layer, Option, Stream } from "effect"
import { Placement, Timeline } from "../../Audio.ts"
import type { DbError } from "../../Db.ts"
import type { Chunk } from "../Chunk.ts"
import { ChunkRows } from "./ChunkRows.ts"
import { ConversationRows, type ConversationRow, type Files } from "./ConversationRows.ts"
import type { FileState } from "./IndexChange.ts"
import type { FileRow, Name } from "./IndexRows.ts"
import type { LiveConversation } from "../Journal/LiveConversation.ts"
import { LiveConversations } from "../Journal/LiveConversations.ts"
import { keyOf, LiveOverlay } from "./LiveOverlay.ts"
import type { SampleRange } from "./ChunkPages.ts"
import { FileChunks } from "./FileChunks.ts"
import { type AudioFileHead, type FileSnapshot, headOf, make as openFile, type RecordedFile } from "./RecordedFile.ts"
import type { Key, Placed } from "./LayoutMerge.ts"
import { WaveformHours } from "./WaveformHours.ts"

export interface Conversation {
  readonly uid: string
  readonly id: string
  readonly createdAt: Date
  readonly finishedAt: Option.Option<Date>
  /** A capture on this node records it now. */
  readonly live: boolean
  /** Chunks with audio placed after its timestamps, because those were in recorded time. */
  readonly clockShifts: number
  /** Unix seconds of start and end; none without audio. */
  readonly span: { readonly start: number; readonly end: number } | undefined
  /** Totals over all audio files, not only those in `files`. */
  readonly capturedSeconds: number
  readonly lostSeconds: number
  readonly files: ReadonlyArray<AudioFileHead>
  /** `before` of the page of earlier files; none if there are none. */
  readonly filesNext: string | undefined
}

/** A span of an audio file with its peaks, or a lost span. In samples of the file. */
export interface WaveformSpan {
  readonly file: number
  readonly state: Chunk["state"] | "minute"
  readonly offset: number
  readonly skip: number
  /** Samples heard; of a lost chunk, all. */
  readonly samples: number
  readonly peaks: Uint8Array | undefined
}

export interface WaveformData extends Pick<Conversation, "live" | "files" | "filesNext"> {
  /** Samples of each file before the first one that is not stored. */
  readonly stored: ReadonlyArray<number>
  /** In any order, possibly with duplicates: one span per chunk, or per minute if points are longer than a minute. */
  drawn(pointSeconds: number): Stream.Stream<ReadonlyArray<WaveformSpan>, DbError>
}

export interface FilesPage extends Pick<Conversation, "createdAt" | "live" | "filesNext"> {
  readonly files: ReadonlyArray<RecordedFile>
}

export class Catalog extends Context.Service<
  Catalog,
  {
    /** Newest first, each with its latest `files` audio files. `before` is the `next` of the previous page. */
    list(
      uid: string,
      page: { readonly before?: string; readonly limit: number; readonly files: number }
    ): Effect.Effect<
      { readonly conversations: ReadonlyArray<Conversation>; readonly next: string | undefined },
      DbError
    >
    /** None if the user has no such conversation. `before` is a `filesNext`. */
    get(
      uid: string,
      id: string,
      page: { readonly before?: string; readonly files: number }
    ): Effect.Effect<Option.Option<Conversation>, DbError>
    waveform(
      uid: string,
      id: string,
      page: { readonly before?: string; readonly files: number }
    ): Effect.Effect<Option.Option<WaveformData>, DbError>
    /** As `get`, with the audio files of the page opened. */
    files(
      uid: string,
      id: string,
      page: { readonly before?: string; readonly files: number }
    ): Effect.Effect<Option.Option<FilesPage>, DbError>
    /** `near`: the samples that will be read first, as far as known. Their chunks are then read in the same query. */
    file(
      uid: string,
      conversation: string,
      id: string,
      near?: SampleRange
    ): Effect.Effect<Option.Option<RecordedFile>, DbError>
    /** The file with the chunks in the journal. `isLast`: no other one begins after it, so that it may grow. */
    growing(
      uid: string,
      conversation: string,
      id: string
    ): Effect.Effect<Option.Option<{ readonly file: RecordedFile; readonly isLast: boolean }>, DbError>
  }
>()("spillway/Recording/Catalog/Catalog") {
  static readonly layerNoDeps = Layer.effect(
    Catalog,
    Effect.suspend(() => make)
  )
  static readonly layer = this.layerNoDeps.pipe(Layer.provide([FileChunks.layer, WaveformHours.layer]))
}

/** Reads of the index before the overlay of a concurrently changing conversation is returned as it is. */
const attempts = 3

/** Longer points are drawn from the peaks of minutes. */
const minuteSeconds = 60

const cursorOf = ({ id, start }: Key): string => `${start}_${id}`

/** The cursor of the page of files that begin before a Unix second. */
export function filesBefore(seconds: number): string {
  return cursorOf({ start: seconds, id: "00000000-0000-0000-0000-000000000000" })
}

const keyIn = (cursor: string): Key => {
  const [start = "", id = ""] = cursor.split("_")
  return { start: Number(start), id }
}

const durableChunks = (conversation: LiveConversation | undefined): ReadonlyArray<Chunk> =>
  [...(conversation?.chunks ?? [])].filter((chunk) => chunk.durable > 0).map((chunk) => chunk.toChunk())

/** One page of audio files. `rows` were read with a limit of one more. */
const pageOf = (rows: ReadonlyArray<FileRow>, view: LiveOverlay, before: Key | undefined, limit: number) => {
  const end = rows.length > limit ? rows.at(limit - 1) : undefined
  const isWanted = (file: FileState) =>
    (before === undefined || Timeline.order(keyOf(file), before) < 0) &&
    (end === undefined || Timeline.order(keyOf(file), keyOf(end)) >= 0)
  const stored = rows.filter((file) => isWanted(file) && view.fileOf(file) === file)
  const files = [...stored, ...[...view.files].filter(isWanted)]
    .sort((a, b) => Timeline.order(keyOf(b), keyOf(a)))
    .slice(0, limit + 1)
  const last = files.length > limit ? files[limit - 1] : end
  const page: ReadonlyArray<FileState & Partial<Pick<FileRow, "id">>> = files.slice(0, limit)
  return { files: page.toReversed(), next: last === undefined ? undefined : cursorOf(keyOf(last)) }
}

/** Index of the last file that begins before a Unix second; -1 if there is none. */
const lastBefore = (files: ReadonlyArray<AudioFileHead>, seconds: number): number => {
  let [low, high] = [0, files.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((files[middle]?.start ?? Infinity) < seconds) low = middle + 1
    else high = middle
  }
  return low - 1
}

/** Finds the audio file that a chunk belongs to. */
class FileSearch {
  readonly #files: ReadonlyArray<FileState>
  /** The last result; chunks nearly always come in order. */
  #index = 0

  constructor(files: ReadonlyArray<FileState>) {
    this.#files = files
  }

  at(key: Key): { readonly file: number; readonly origin: number } | undefined {
    if (this.#isBefore(key, this.#index)) this.#index = 0
    while (!this.#isBefore(key, this.#index + 1) && this.#index + 1 < this.#files.length) this.#index++
    const file = this.#files[this.#index]
    if (file === undefined || this.#isBefore(key, this.#index)) return undefined
    if (Timeline.order(key, { start: file.lastStart, id: file.lastId }) > 0) return undefined
    return { file: this.#index, origin: Placement.positionOf(file.start, file.sampleRate) }
  }

  #isBefore(key: Key, index: number): boolean {
    const file = this.#files[index]
    return file === undefined || Timeline.order(key, keyOf(file)) < 0
  }
}

const make = Effect.gen(function* () {
  const live = yield* LiveConversations
  const rows = yield* ConversationRows
  const chunkRows = yield* ChunkRows
  const hours = yield* WaveformHours
  const fileChunks = yield* FileChunks
  live.whenRemoved(({ id, uid }) => fileChunks.forget({ uid, conversation: id }))
  const recorded = (uid: string, id: string) => {
    const conversation = live.get(uid, id)
    return conversation?.isPurged === true ? undefined : conversation
  }

  const conversationOf = (
    uid: string,
    row: Pick<ConversationRow, "id" | "createdAt" | "finishedAt"> & Partial<ConversationRow>,
    view: LiveOverlay,
    { before, limit }: { readonly before: Key | undefined; readonly limit: number }
  ) => {
    const { began = Infinity, captured = 0, ended = -Infinity, files = [], id, lost = 0 } = row
    const page = pageOf(files, view, before, limit)
    const shifted = view.live.filter(({ chunk: { clockShifts = [] } }) => clockShifts.length > 0)
    const spans = [...view.files].map((file) => headOf("", file))
    const start = spans.reduce((start, file) => Math.min(start, file.start), began)
    const end = spans.reduce((end, file) => Math.max(end, file.start + file.samples / file.sampleRate), ended)
    const conversation: Conversation = {
      uid,
      id,
      createdAt: row.createdAt,
      finishedAt: Option.fromNullishOr(row.finishedAt),
      live: (recorded(uid, id)?.captures ?? 0) > 0,
      clockShifts: (row.clockShifts ?? 0) + shifted.length,
      span: start <= end ? { start, end } : undefined,
      capturedSeconds: captured + view.total.captured,
      lostSeconds: lost + view.total.lost,
      files: page.files.map((file) => headOf(file.id ?? Timeline.fileId(uid, id, file), file)),
      filesNext: page.next
    }
    return { conversation, states: page.files }
  }

  /**
   * A conversation's row and its overlay. Live chunks are read before the database, so that a chunk stored in between is in
   * both, never in neither. Several reads are consistent if the row's revision is unchanged after them.
   */
  const viewOf = Effect.fnUntraced(function* (uid: string, id: string, files: Files) {
    const find = Effect.map(rows.find(uid, id, files), Option.getOrUndefined)
    for (let attempt = 1; ; attempt++) {
      const chunks = durableChunks(recorded(uid, id))
      const row = yield* find
      const view = yield* rows.view(uid, row, id, chunks)
      if (!view.hasRead || attempt === attempts || (yield* find)?.revision === row?.revision) return { row, view }
    }
  })

  const read = Effect.fnUntraced(function* (
    uid: string,
    id: string,
    { before: cursor, files }: { readonly before?: string; readonly files: number }
  ) {
    const conversation = recorded(uid, id)
    const before = cursor === undefined ? undefined : keyIn(cursor)
    const wanted = { limit: files + 1, ...(before === undefined ? {} : { before }) }
    const { row, view } = yield* viewOf(uid, id, wanted)
    if (row === undefined && conversation === undefined) return Option.none()
    const known = row ?? { id, createdAt: conversation?.createdAt ?? new Date(0), finishedAt: null }
    return Option.some({
      ...conversationOf(uid, known, view, { before, limit: files }),
      view,
      stored: row?.files ?? []
    })
  })

  /** Peaks by minute, and lost spans, of audio files by start. */
  const minutesOf = (name: Name, states: ReadonlyArray<FileState>, pointSeconds: number) => {
    const heads = states.map((state) => headOf("", state))
    const endOf = (head: AudioFileHead) => head.start + head.samples / head.sampleRate
    const start = heads[0]?.start ?? 0
    const end = heads.reduce((end, head) => Math.max(end, endOf(head)), start)
    /** The span in each file that it overlaps. Only files of different sample rates overlap each other. */
    const within = (at: number, seconds: number, state: WaveformSpan["state"], peaks: Uint8Array | undefined) => {
      const found: Array<WaveformSpan> = []
      for (let file = lastBefore(heads, at + seconds); file >= 0; file--) {
        const head = heads[file]
        if (head === undefined || endOf(head) <= at) break
        const offset = Math.max(0, Math.round((at - head.start) * head.sampleRate))
        const until = Math.min(head.samples, Math.round((at + seconds - head.start) * head.sampleRate))
        if (offset < until) found.push({ file, state, offset, skip: 0, samples: until - offset, peaks })
      }
      return found
    }
    // At least four per point.
    const most = Math.max(1, Math.floor(pointSeconds / minuteSeconds / 4))
    const minutes = Stream.map(hours.minutes(name, start, end, most), (page) =>
      page.flatMap(({ pair, seconds, start }) => within(start, seconds, "minute", pair))
    )
    const lost = Effect.map(hours.lost(name, start, end, pointSeconds), (spans) =>
      spans.flatMap(({ seconds, start }) => within(start, seconds, "lost", undefined))
    )
    return Stream.concat(minutes, Stream.fromEffect(lost))
  }

  const snapshotOf = Effect.fnUntraced(function* (uid: string, conversation: string, id: string) {
    const { row, view } = yield* viewOf(uid, conversation, { id })
    const stored = row?.files[0]
    const state = stored === undefined ? undefined : view.fileOf(stored)
    const found = state ?? [...view.files].find((file) => Timeline.fileId(uid, conversation, file) === id)
    if (found === undefined) return undefined
    const revision = stored !== undefined && state !== undefined ? stored.revision : undefined
    const last = row?.tail === undefined ? undefined : view.fileOf(row.tail.file)
    const isBefore = (file: FileState | undefined) =>
      file !== undefined && Timeline.order(keyOf(found), keyOf(file)) < 0
    const isLast = !isBefore(last) && ![...view.files].some(isBefore)
    return { id, state: found, revision, view, isLast } satisfies FileSnapshot & { readonly isLast: boolean }
  })

  /** As `snapshotOf`, in one query, for a conversation without live chunks. */
  const storedSnapshot = Effect.fnUntracedEager(function* (name: Name, id: string, near: SampleRange | undefined) {
    // Samples are positions to within one: the database rounds the start of the file.
    const wide = near === undefined ? undefined : { from: near.from - 1, to: near.to + 1 }
    const found = Option.getOrUndefined(yield* fileChunks.open(name, id, wide))
    if (found === undefined) return undefined
    const { file } = found
    return {
      id,
      state: file,
      revision: file.revision,
      view: new LiveOverlay(),
      near: found.near
    } satisfies FileSnapshot
  })

  const opened = (name: Name, snapshot: FileSnapshot) => {
    const page = (state: FileState, range: SampleRange) => fileChunks.page(name, state, range)
    return openFile(name, snapshot, snapshotOf(name.uid, name.conversation, snapshot.id), page)
  }

  return Catalog.of({
    list: Effect.fn("Catalog.list")(function* (uid, { before, files, limit }) {
      const known = new Map<string, ReadonlyArray<Chunk>>()
      for (const conversation of live.of(uid)) {
        if (conversation.isPurged) continue
        const chunks = durableChunks(conversation)
        if (conversation.captures > 0 || chunks.length > 0) known.set(conversation.id, chunks)
      }
      const wanted = { before, limit: limit + 1, live: [...known.keys()] }
      const found = yield* rows.latest(uid, wanted, { limit: files + 1 })
      const page = found.slice(0, limit)
      const conversations = yield* Effect.forEach(page, (row) =>
        Effect.gen(function* () {
          const view = yield* rows.view(uid, row, row.id, known.get(row.id) ?? [])
          const again = view.hasRead ? yield* viewOf(uid, row.id, { limit: files + 1 }) : undefined
          const now = { row: again?.row ?? row, view: again?.view ?? view }
          return conversationOf(uid, now.row, now.view, { before: undefined, limit: files }).conversation
        })
      )
      return { conversations, next: found.length > limit ? page.at(-1)?.cursor : undefined }
    }),
    get: Effect.fn("Catalog.get")(function* (uid, id, page) {
      return Option.map(yield* read(uid, id, page), ({ conversation }) => conversation)
    }),
    waveform: Effect.fn("Catalog.waveform")(function* (uid, id, page) {
      return Option.map(yield* read(uid, id, page), ({ conversation, states, view }): WaveformData => {
        const files = new FileSearch(states)
        const drawnOf = (
          { chunk, placement }: Placed<Chunk>,
          peaks: Uint8Array | undefined
        ): ReadonlyArray<WaveformSpan> => {
          const found = files.at(chunk)
          if (found === undefined) return []
          const { file, origin } = found
          const { samples, state } = chunk
          if (state === "lost")
            return [{ file, state, offset: placement.at - origin, skip: 0, samples, peaks: undefined }]
          const { at, heard, skip } = placement
          return heard === 0 ? [] : [{ file, state, offset: at - origin, skip, samples: heard, peaks }]
        }
        const livePeaks = (chunk: string) => {
          const peaks = live.chunk(uid, id, chunk)?.peaks
          return peaks === undefined || peaks.samples === 0 ? undefined : peaks.encode()
        }
        const now = view.live.flatMap((placed) => drawnOf(placed, livePeaks(placed.chunk.id)))
        const stored = states.map((state) => headOf("", state).samples)
        for (const { file, offset } of now) stored[file] = Math.min(stored[file] ?? offset, offset)
        const [from, to] = [states[0], states.at(-1)]
        return {
          ...conversation,
          stored,
          drawn: (pointSeconds) => {
            if (from === undefined || to === undefined) return Stream.empty
            if (pointSeconds > minuteSeconds)
              return Stream.concat(Stream.succeed(now), minutesOf({ uid, conversation: id }, states, pointSeconds))
            const last = { start: to.lastStart, id: to.lastId }
            const rows = chunkRows.peaks({ uid, conversation: id }, keyOf(from), last)
            const inIndex = Stream.map(rows, (row) => {
              const placed = view.isSuperseded(row.chunk) ? view.placementOf(row.chunk.id) : row
              return placed === undefined ? [] : drawnOf(placed, row.peaks)
            })
            return Stream.concat(Stream.succeed(now), inIndex)
          }
        }
      })
    }),
    files: Effect.fn("Catalog.files")(function* (uid, id, page) {
      return Option.map(yield* read(uid, id, page), ({ conversation, states, stored, view }): FilesPage => {
        const revisions = new Map(stored.map((row) => [cursorOf(keyOf(row)), row.revision]))
        const { createdAt, filesNext, live } = conversation
        const files = conversation.files.flatMap((file, index) => {
          const state = states[index]
          if (state === undefined) return []
          const revision = revisions.get(cursorOf(keyOf(state)))
          return [opened({ uid, conversation: id }, { id: file.id, state, revision, view })]
        })
        return { createdAt, live, files, filesNext }
      })
    }),
    growing: Effect.fn("Catalog.growing")(function* (uid, conversation, id) {
      const snapshot = yield* snapshotOf(uid, conversation, id)
      if (snapshot === undefined) return Option.none()
      return Option.some({ file: opened({ uid, conversation }, snapshot), isLast: snapshot.isLast })
    }),
    file: Effect.fnUntracedEager(function* (uid, conversation, id, near) {
      const name = { uid, conversation }
      const isLive = durableChunks(recorded(uid, conversation)).length > 0
      const snapshot: FileSnapshot | undefined = isLive
        ? yield* snapshotOf(uid, conversation, id)
        : yield* storedSnapshot(name, id, near)
      return Option.map(Option.fromNullishOr(snapshot), (snapshot) => opened(name, snapshot))
    })
  })
})
