/** Reads what is already recorded around a timestamp, from journal and store, so that replays can be recognized. */
import { Context, Effect, Layer, Stream } from "effect"
import { type Bitstream, OpusPacket, Span, Timeline } from "../../Audio.ts"
import { inBackground } from "../../Bulkhead.ts"
import type { DbError } from "../../Db.ts"
import type { Chunk } from "../Chunk.ts"
import { ChunkAudio, type ReadError } from "../Read/ChunkAudio.ts"
import { ChunkRows, type ShiftedChunk } from "../Catalog/ChunkRows.ts"
import { bandOf, bandSeconds } from "../Journal/ClockShifts.ts"
import { Journal } from "../Journal/Journal.ts"
import type { JournalChunk } from "../Journal/JournalChunk.ts"
import type { LiveConversation } from "../Journal/LiveConversation.ts"
import { compare, find, marginSeconds, type RecordedSpan, type Run, slackSeconds } from "./RecordedSpan.ts"

export interface Recalled {
  readonly span: RecordedSpan
  /** Seconds from the requested time to where the audio was found. */
  readonly moved: number
}

export interface Wanted {
  readonly bitstream: Bitstream.Bitstream
  /** Unix second. */
  readonly at: number
  /** Searched for if it is not recorded at `at`: nearby, at `replayEnd`, and at `at` plus each known clock shift. */
  readonly audio: Uint8Array | undefined
  /** Unix second at which the previous replay ends. */
  readonly replayEnd: number | undefined
}

export class RecordedAudio extends Context.Service<
  RecordedAudio,
  {
    recall(conversation: LiveConversation, wanted: Wanted): Effect.Effect<Recalled, ReadError | DbError>
  }
>()("spillway/Recording/Capture/RecordedAudio") {
  static readonly layer = Layer.effect(
    RecordedAudio,
    Effect.suspend(() => make)
  )
}

/** Audio of one span: 2 s of PCM16 at 16 kHz, in memory while its capture replays. Longer replays read several spans. */
const spanBytes = 64 * 1024

/** The tolerance of playback plus the resolution of Unix time in a double. */
const contiguousSeconds = Timeline.toleranceSeconds + 1e-6

/** Rows of at most this time and number are read for a span. */
const spanSeconds = 60
const spanRows = 64

/** How far from its timestamps a replay is searched for: either timestamp may be the time of arrival. */
const aroundSeconds = bandSeconds

/** Clock shifts tried in the search for a replay. A replay with any other one is kept as new audio. */
const maxShifts = 8

const joined = (parts: ReadonlyArray<Run & { readonly audio: Uint8Array }>): Run => {
  const [{ at } = { at: 0 }, ...next] = parts
  return {
    at,
    samples: parts.reduce((sum, { samples }) => sum + samples, 0),
    audio: parts.length === 1 ? parts[0]?.audio : Buffer.concat(parts.map(({ audio }) => audio)),
    cuts: next.map((part) => part.at - at)
  }
}

/** The first ones, up to where a chunk of one sample may lie between two: it may have left the journal before they do. */
const contiguous = (chunks: ReadonlyArray<Chunk>): ReadonlyArray<Chunk> => {
  const gap = chunks.findIndex((chunk, index) => {
    const before = chunks[index - 1]
    return before !== undefined && chunk.start > Span.end(before) + 0.5 / before.sampleRate
  })
  return gap === -1 ? chunks : chunks.slice(0, gap)
}

const shiftsOf = (chunks: ReadonlyArray<JournalChunk>): ReadonlyArray<ShiftedChunk> =>
  chunks.flatMap(({ appendedEnd: end, clockShifts, start }) =>
    clockShifts.map((clockShift) => ({ start, end, clockShift }))
  )

/** What is searched: the journal alone, or also what is stored. */
type Where = "journal" | "anywhere"

const make = Effect.gen(function* () {
  const journal = yield* Journal
  const rows = yield* ChunkRows
  const chunkAudio = yield* ChunkAudio

  /**
   * Chunks in a time range, by start, and how far they are complete. The database is not read if the journal covers all from
   * `at` to `until`, or if only the journal is searched.
   */
  const chunksIn = Effect.fnUntraced(function* (
    conversation: LiveConversation,
    {
      at,
      from,
      to,
      until
    }: { readonly from: number; readonly at: number; readonly until: number; readonly to: number },
    where: Where
  ) {
    const near = () =>
      conversation.inJournal.filter((chunk) => chunk.appended > 0 && chunk.start < to && chunk.appendedEnd > from)
    // A capture that left the conversation may still have buffered audio.
    if (near().some(({ appended, durable }) => appended > durable)) yield* journal.commit
    const found = near().filter(({ durable }) => durable > 0)
    const live = found.map((chunk) => chunk.toChunk()).sort(Timeline.order)
    const inJournal = new Set(live.map(({ id }) => id))
    // An unchecked chunk may overlap stored audio, which is then played instead of it. While the stored state is unknown,
    // nothing is acknowledged; if there is an overlap, the client sends all of it again.
    const isComplete = !conversation.loaded || !found.some(({ isUnchecked }) => isUnchecked)
    const here = isComplete ? live.findIndex((chunk) => chunk.start <= at && Span.end(chunk) > at) : -1
    if (here !== -1) {
      const chunks = contiguous(live.slice(here))
      const end = Math.max(...chunks.map(Span.end))
      if (end > until + marginSeconds || end >= conversation.end) return { chunks, to: Math.min(to, end) }
    }
    if (where === "journal") return { chunks: isComplete ? live : [], to }
    const stored = yield* Stream.runCollect(
      rows.within(conversation.uid, conversation.id, { from, to }).pipe(Stream.take(spanRows))
    )
    const last = stored.length < spanRows ? undefined : stored.at(-1)
    return {
      chunks: [...stored.filter(({ id }) => !inJournal.has(id)), ...live]
        .filter(({ state }) => state !== "lost")
        .sort(Timeline.order),
      to: last === undefined ? to : Math.min(to, Math.max(last.start, at + marginSeconds))
    }
  })

  const pcmOf = (_: Bitstream.Bitstream, chunk: Chunk, from: number, samples: number, bytes: number) => {
    const length = Math.min(samples * 2, bytes)
    return Effect.map(Stream.runCollect(chunkAudio.read(chunk, from * 2, from * 2 + length)), (pieces) => {
      const audio = Buffer.concat(pieces)
      return { skipped: 0, isCut: length < samples * 2, audio: audio.length === length ? audio : undefined }
    })
  }

  const packetsOf = (bitstream: Bitstream.Bitstream, chunk: Chunk, from: number, samples: number, bytes: number) =>
    Effect.map(chunkAudio.packets(chunk), (packets) => {
      const all = OpusPacket.join(packets)
      let begin = bitstream.bytesOf(all, from)
      if (bitstream.samples(all.subarray(0, begin)) < from) begin += bitstream.first(all.subarray(begin))
      const skipped = bitstream.samples(all.subarray(0, begin)) - from
      const rest = all.subarray(begin)
      const audio = rest.subarray(0, bitstream.bytesOf(rest, samples - skipped))
      const length = bitstream.cut(audio, bytes)
      return { skipped, isCut: length < audio.length, audio: audio.subarray(0, length) }
    })

  /** Laid out as in playback: where chunks overlap, the earlier one is heard. Complete from `at` to `until`, except for its bounds. */
  const spanOf = Effect.fnUntraced(function* (
    conversation: LiveConversation,
    bitstream: Bitstream.Bitstream,
    at: number,
    until: number = at,
    where: Where = "anywhere"
  ) {
    const { codec, sampleRate } = bitstream
    const start = at - slackSeconds
    const to = Math.min(conversation.end, at + spanSeconds)
    const found = yield* chunksIn(conversation, { from: start, at, until, to }, where)
    const known = found.to >= conversation.end ? found.to + marginSeconds : found.to
    let samples = Math.round((known - start) * sampleRate)
    let left = spanBytes
    let end = 0
    const runs: Array<Run> = []
    let parts: Array<Run & { readonly audio: Uint8Array }> = []
    const endRun = () => {
      if (parts.length > 0) runs.push(joined(parts))
      parts = []
    }
    const addIncomparable = (from: number, to: number) => {
      if (from >= to) return
      endRun()
      runs.push({ at: from, samples: to - from, audio: undefined })
    }
    for (const chunk of found.chunks) {
      const own = Math.round((chunk.start - start) * sampleRate)
      const isNext = end > 0 && Math.abs(chunk.start - start - end / sampleRate) <= contiguousSeconds
      const place = isNext ? end : own
      const begin = Math.max(place, end)
      const length = Math.round((chunk.samples / chunk.sampleRate) * sampleRate)
      const rest = Math.min(place + length, samples) - begin
      if (begin >= samples) break
      if (rest <= 0) continue
      if (begin > end) endRun()
      end = begin + rest
      const isComparable = chunk.sampleRate === sampleRate && chunk.codec === codec
      /** At most `left` bytes from `begin` on, without parts of packets, and whether this bound cut it. */
      const audioOf = codec === "opus" ? packetsOf : pcmOf
      const read = isComparable ? yield* audioOf(bitstream, chunk, begin - place, rest, left) : undefined
      if (read?.audio === undefined) {
        addIncomparable(begin, end)
        continue
      }
      const { audio, isCut, skipped } = read
      const heard = { at: begin + skipped, samples: bitstream.samples(audio), audio }
      addIncomparable(begin, heard.at)
      if (heard.samples > 0) parts.push(heard)
      left -= audio.length
      if (isCut || place + length > samples) {
        samples = heard.at + heard.samples
        break
      }
      addIncomparable(heard.at + heard.samples, end)
    }
    endRun()
    const span: RecordedSpan = { start, bitstream, samples, runs }
    return span
  })

  /** Where audio with timestamp `at` may be recorded, by the shifts of these chunks: of those at these times, the latest first. */
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

  /** The Unix second near one of these at which the audio is recorded. */
  const search = Effect.fnUntraced(function* (
    conversation: LiveConversation,
    {
      audio,
      bitstream,
      needle
    }: { readonly audio: Uint8Array; readonly bitstream: Bitstream.Bitstream; readonly needle: Uint8Array },
    places: Iterable<number>,
    where: Where = "anywhere"
  ) {
    const seconds = bitstream.samples(needle) / bitstream.sampleRate
    for (const place of places) {
      if (place >= conversation.end) continue
      const around = yield* spanOf(
        conversation,
        bitstream,
        place - aroundSeconds,
        place + aroundSeconds + seconds,
        where
      )
      // Of the last message before a kill, less than is searched for may be recorded.
      const there = compare(around, place, audio)
      const found = there._tag === "Same" ? place + there.offset / bitstream.sampleRate : find(around, place, needle)
      if (found !== undefined && Math.abs(found - place) <= aroundSeconds) return found
    }
    return undefined
  })

  return RecordedAudio.of({
    recall: Effect.fn("RecordedAudio.recall")(function* (conversation, { at, audio, bitstream, replayEnd }) {
      const needle = audio === undefined ? undefined : bitstream.needle(audio)
      if (audio === undefined || needle === undefined)
        return { span: yield* spanOf(conversation, bitstream, at), moved: 0 }
      const wanted = { audio, bitstream, needle }
      const near = placesOf(at, shiftsOf(conversation.inJournal))
      const tried = new Set([at, replayEnd ?? at, at + conversation.clockShift, ...near])
      // The database may be away, also where the timestamp lies in time that has left the journal.
      const live = yield* search(conversation, wanted, tried, "journal")
      if (live !== undefined) return { span: yield* spanOf(conversation, bitstream, live), moved: live - at }
      const span = yield* spanOf(conversation, bitstream, at)
      if (compare(span, at, needle)._tag === "Same") return { span, moved: 0 }
      const found =
        (yield* search(conversation, wanted, tried)) ??
        (yield* search(
          conversation,
          wanted,
          placesOf(at, yield* rows.shifted(conversation.uid, conversation.id)).filter((place) => !tried.has(place))
        ))
      return found === undefined
        ? { span, moved: 0 }
        : { span: yield* spanOf(conversation, bitstream, found), moved: found - at }
    }, inBackground)
  })
})
