/** Finds what is recorded at a timestamp, or where the same audio is recorded instead, so that replays can be recognized. */
import { Context, Effect, Layer } from "effect"
import type { Bitstream } from "../../Audio.ts"
import { inBackground } from "../../Bulkhead.ts"
import type { DbError } from "../../Db.ts"
import type { ReadError } from "../Read/ChunkAudio.ts"
import { ChunkRows, type ShiftedChunk } from "../Catalog/ChunkRows.ts"
import { bandOf, bandSeconds } from "../Journal/ClockShifts.ts"
import type { JournalChunk } from "../Journal/JournalChunk.ts"
import type { LiveConversation } from "../Journal/LiveConversation.ts"
import { compare, find, type RecordedSpan } from "./RecordedSpan.ts"
import * as SpanReader from "./SpanReader.ts"

export interface Recalled {
  readonly span: RecordedSpan
  /** Seconds from the requested time to where the audio was found. */
  readonly moved: number
}

export interface Wanted {
  readonly bitstream: Bitstream.Bitstream
  /** Unix second. */
  readonly at: number
  /**
   * Searched for around `at`, `replayEnd`, and `at` plus each known clock shift: in the journal first, then also in the store.
   * Undefined if only what is recorded at `at` is wanted.
   */
  readonly audio: Uint8Array | undefined
  /** Unix second at which the previous replay ends. */
  readonly replayEnd: number | undefined
}

export class RecordedAudio extends Context.Service<
  RecordedAudio,
  {
    /** The span where `audio` is found, or else the one at `at`. */
    recall(conversation: LiveConversation, wanted: Wanted): Effect.Effect<Recalled, ReadError | DbError>
  }
>()("spillway/Recording/Capture/RecordedAudio") {
  static readonly layer = Layer.effect(
    RecordedAudio,
    Effect.suspend(() => make)
  )
}

/** How far from its timestamps a replay is searched for: either timestamp may be the time of arrival. */
const aroundSeconds = bandSeconds

/** Clock shifts tried in the search for a replay. A replay with any other one is kept as new audio. */
const maxShifts = 8

const shiftsOf = (chunks: ReadonlyArray<JournalChunk>): ReadonlyArray<ShiftedChunk> =>
  chunks.flatMap(({ appendedEnd: end, clockShifts, start }) =>
    clockShifts.map((clockShift) => ({ start, end, clockShift }))
  )

/**
 * Unix seconds at which audio with timestamp `at` may be recorded, by one shift of each band. Shifts that lead to the time of
 * their chunk come first, later chunks before earlier ones, and the latest shift of a chunk before its others.
 */
const placesOf = (at: number, chunks: ReadonlyArray<ShiftedChunk>): ReadonlyArray<number> => {
  const distance = ({ clockShift, end, start }: ShiftedChunk) =>
    Math.max(start - clockShift - at, at + clockShift - end, aroundSeconds)
  const nearest = chunks.toReversed().sort((a, b) => distance(a) - distance(b) || b.start - a.start)
  const byBand = new Map<number, number>()
  for (const { clockShift } of nearest) {
    const band = bandOf(clockShift)
    if (!byBand.has(band)) byBand.set(band, clockShift)
  }
  return [...byBand.values()].slice(0, maxShifts).map((shift) => at + shift)
}

const make = Effect.gen(function* () {
  const rows = yield* ChunkRows
  const spans = yield* SpanReader.make

  /** The Unix second at which the audio is recorded, near one of `places`. */
  const search = Effect.fnUntraced(function* (
    conversation: LiveConversation,
    {
      audio,
      bitstream,
      needle
    }: { readonly audio: Uint8Array; readonly bitstream: Bitstream.Bitstream; readonly needle: Uint8Array },
    places: Iterable<number>,
    source: SpanReader.Source
  ) {
    const seconds = bitstream.samples(needle) / bitstream.sampleRate
    for (const place of places) {
      if (place >= conversation.end) continue
      const [at, until] = [place - aroundSeconds, place + aroundSeconds + seconds]
      const around = yield* spans.read(conversation, bitstream, { at, until, source })
      // Of the last message before a kill, less than the needle may be recorded.
      const there = compare(around, place, audio)
      const found = there._tag === "Same" ? place + there.offset / bitstream.sampleRate : find(around, place, needle)
      if (found !== undefined && Math.abs(found - place) <= aroundSeconds) return found
    }
    return undefined
  })

  return RecordedAudio.of({
    recall: Effect.fn("RecordedAudio.recall")(function* (conversation, { at, audio, bitstream, replayEnd }) {
      const spanAt = (at: number) => spans.read(conversation, bitstream, { at })
      const needle = audio === undefined ? undefined : bitstream.needle(audio)
      if (audio === undefined || needle === undefined) return { span: yield* spanAt(at), moved: 0 }
      const wanted = { audio, bitstream, needle }
      const near = placesOf(at, shiftsOf(conversation.inJournal))
      const tried = new Set([at, replayEnd ?? at, at + conversation.clockShift, ...near])
      // The database may be away, also where the timestamp lies in time that has left the journal.
      const live = yield* search(conversation, wanted, tried, "journal")
      if (live !== undefined) return { span: yield* spanAt(live), moved: live - at }
      const span = yield* spanAt(at)
      if (compare(span, at, needle)._tag === "Same") return { span, moved: 0 }
      const found =
        (yield* search(conversation, wanted, tried, "anywhere")) ??
        (yield* search(
          conversation,
          wanted,
          placesOf(at, yield* rows.shifted(conversation.uid, conversation.id)).filter((place) => !tried.has(place)),
          "anywhere"
        ))
      return found === undefined ? { span, moved: 0 } : { span: yield* spanAt(found), moved: found - at }
    }, inBackground)
  })
})
