/** Reads a section of a conversation's recorded audio from journal and store, laid out as in playback. */
import { Effect, Stream } from "effect"
import { type Bitstream, OpusPacket, Span, Timeline } from "../../Audio.ts"
import type { Chunk } from "../Chunk.ts"
import { ChunkAudio } from "../Read/ChunkAudio.ts"
import { ChunkRows } from "../Catalog/ChunkRows.ts"
import { Journal } from "../Journal/Journal.ts"
import type { LiveConversation } from "../Journal/LiveConversation.ts"
import { marginSeconds, type RecordedSpan, type Run, slackSeconds } from "./RecordedSpan.ts"

/** `journal`: stored audio that has left the journal is missing from the span, so what is free in it may be recorded. */
export type Source = "journal" | "anywhere"

export interface Range {
  /** Unix second around which audio is compared. */
  readonly at: number
  /** Unix second up to which the span is complete, unless one of its bounds ends it before; default `at`. */
  readonly until?: number
  /** Default `anywhere`. */
  readonly source?: Source
}

/** Audio of one span: 2 s of PCM16 at 16 kHz, in memory while its capture replays. Longer replays read several spans. */
const spanBytes = 64 * 1024

/** The tolerance of playback plus the resolution of Unix time in a double. */
const contiguousSeconds = Timeline.toleranceSeconds + 1e-6

/** Rows of at most this time and number are read for a span. */
const spanSeconds = 60
const spanRows = 64

const joined = (parts: ReadonlyArray<Run & { readonly audio: Uint8Array }>): Run => {
  const [{ at } = { at: 0 }, ...next] = parts
  return {
    at,
    samples: parts.reduce((sum, { samples }) => sum + samples, 0),
    audio: parts.length === 1 ? parts[0]?.audio : Buffer.concat(parts.map(({ audio }) => audio)),
    boundaries: next.map((part) => part.at - at)
  }
}

/** The chunks before the first gap: a chunk that filled it, if only of one sample, may have left the journal before them. */
const contiguous = (chunks: ReadonlyArray<Chunk>): ReadonlyArray<Chunk> => {
  const gap = chunks.findIndex((chunk, index) => {
    const before = chunks[index - 1]
    return before !== undefined && chunk.start > Span.end(before) + 0.5 / before.sampleRate
  })
  return gap === -1 ? chunks : chunks.slice(0, gap)
}

export const make = Effect.gen(function* () {
  const journal = yield* Journal
  const rows = yield* ChunkRows
  const chunkAudio = yield* ChunkAudio

  /**
   * Chunks between the Unix seconds `from` and `to`, by start, and how far they are complete. The database is read only if the
   * source is `anywhere` and the journal does not cover all from `at` to `until`.
   */
  const chunksIn = Effect.fnUntraced(function* (
    conversation: LiveConversation,
    { at, from, source, to, until }: Required<Range> & { readonly from: number; readonly to: number }
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
    // Times in a span are rounded to samples: audio may be found half a sample before its chunk.
    const isHere = (chunk: Chunk) => chunk.start <= at + 0.5 / chunk.sampleRate && Span.end(chunk) > at
    const here = isComplete ? live.findIndex(isHere) : -1
    if (here !== -1) {
      const chunks = contiguous(live.slice(here))
      const end = Math.max(...chunks.map(Span.end))
      if (end > until + marginSeconds || end >= conversation.end) return { chunks, to: Math.min(to, end) }
    }
    if (source === "journal") return { chunks: isComplete ? live : [], to }
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

  /** The span begins `slackSeconds` before `at`. Where chunks overlap, the earlier one is heard, as in playback. */
  const read = Effect.fnUntraced(function* (
    conversation: LiveConversation,
    bitstream: Bitstream.Bitstream,
    { at, source = "anywhere", until = at }: Range
  ) {
    const { codec, sampleRate } = bitstream
    const start = at - slackSeconds
    const to = Math.min(conversation.end, at + spanSeconds)
    const found = yield* chunksIn(conversation, { at, from: start, source, to, until })
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
      const piece = isComparable ? yield* audioOf(bitstream, chunk, begin - place, rest, left) : undefined
      if (piece?.audio === undefined) {
        addIncomparable(begin, end)
        continue
      }
      const { audio, isCut, skipped } = piece
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

  return { read }
})
