/** A node from its start to its kill: captures enter conversations, chunks are stored, and what is stored becomes known late. */
import { Effect, Layer, Stream } from "effect"
import { Span, Timeline } from "../../../../src/Audio.ts"
import type { CaptureWriter } from "../../../../src/Recording/Capture/CaptureWriter.ts"
import { RecordedAudio, type Wanted } from "../../../../src/Recording/Capture/RecordedAudio.ts"
import { ChunkRows } from "../../../../src/Recording/Catalog/ChunkRows.ts"
import { Journal } from "../../../../src/Recording/Journal/Journal.ts"
import type { JournalChunk } from "../../../../src/Recording/Journal/JournalChunk.ts"
import { LiveConversation } from "../../../../src/Recording/Journal/LiveConversation.ts"
import { ChunkAudio } from "../../../../src/Recording/Read/ChunkAudio.ts"
import { sampleRate } from "../../../support/Crash/Messages.ts"
import { TestNode } from "../TestNode.ts"
import type { SimulatedStore } from "./SimulatedStore.ts"

/** Milliseconds of the node's clock that pass with a commit. */
const commitMillis = 500

/** Probabilities, each time. */
export interface NodeChances {
  /** That a stored chunk stays in the journal. */
  readonly retain: number
  /** That a capture enters before the stored state of its conversation is known. */
  readonly enterUnloaded: number
}

export class SimulatedNode {
  readonly #journal: Journal["Service"]
  readonly #store: SimulatedStore
  readonly #chances: NodeChances
  readonly #next: () => number
  readonly #say: (event: string) => void
  readonly #live = new Map<string, LiveConversation>()
  readonly #usage = { chunks: 0 }
  /** Sealed chunks that are not stored. */
  readonly #waiting: Array<JournalChunk> = []
  #unloaded: Array<LiveConversation> = []
  readonly #node: TestNode

  constructor(
    journal: Journal["Service"],
    store: SimulatedStore,
    {
      chances,
      next,
      say
    }: { readonly chances: NodeChances; readonly next: () => number; readonly say: (event: string) => void }
  ) {
    this.#journal = journal
    this.#store = store
    this.#chances = chances
    this.#next = next
    this.#say = say
    for (const chunk of journal.recovered) {
      const conversation = this.#ensure(chunk.conversation)
      conversation.addChunk(chunk)
      const { id } = chunk.toChunk()
      if (store.find({ conversation: chunk.conversation, id }) === undefined) this.#waiting.push(chunk)
      else this.#retain(conversation, chunk)
    }
    this.#node = new TestNode(journal, {
      chunkSeconds: 1.5,
      firstShare: () => 0.1 + 0.9 * next(),
      enter: (capture, id) => this.#enter(capture, id),
      leave: (capture, conversation) => this.#leave(capture, conversation),
      sealed: (_, chunk) => this.#waiting.push(chunk),
      abandoned: (chunk) => this.#live.get(chunk.conversation)?.removeChunk(chunk),
      recall: (capture, conversation, wanted) => this.#recall(capture, conversation, wanted),
      replayed: (seconds) => say(`replayed ${Math.round(seconds * sampleRate)}`),
      shifted: (_, seconds) => say(`shifted by ${seconds}`),
      died: (_, cause) => say(`died of ${String(cause)}`)
    })
  }

  advance(millis: number): void {
    this.#node.now += millis
  }

  capture(): ReturnType<TestNode["capture"]> {
    return this.#node.capture({ sampleRate })
  }

  /** Makes durable what was appended. */
  readonly commit = Effect.suspend(() => {
    this.advance(commitMillis)
    return this.#journal.commit
  })

  /** Stores a sealed chunk, if there is one. */
  readonly store = Effect.suspend(() => {
    const chunk = this.#waiting[Math.floor(this.#next() * this.#waiting.length)]
    if (chunk === undefined || this.#live.get(chunk.conversation)?.awaitsLoad(chunk) === true) return Effect.void
    this.#waiting.splice(this.#waiting.indexOf(chunk), 1)
    if (chunk.durable === 0) return Effect.void
    return Effect.flatMap(Effect.orDie(this.#journal.read(chunk, 0, chunk.durable)), (audio) => {
      this.#say(`stored ${chunk.start} +${chunk.durableSamples}`)
      this.#store.add(chunk.toChunk(), Buffer.from(audio))
      const conversation = this.#live.get(chunk.conversation)
      if (conversation !== undefined && this.#next() < this.#chances.retain) {
        this.#retain(conversation, chunk)
        return Effect.void
      }
      chunk.state = "released"
      conversation?.removeChunk(chunk)
      if (conversation !== undefined) this.#removeIfUnused(conversation)
      return Effect.orDie(this.#journal.release(chunk))
    })
  })

  loadLater(): void {
    for (const conversation of this.#unloaded.splice(0)) {
      const isOverlapping = this.#load(conversation)
      this.#say(`loaded ${conversation.id}${isOverlapping ? ", overlapping" : ""}`)
      conversation.writer?.loaded(isOverlapping)
    }
  }

  #ensure(id: string): LiveConversation {
    const found = this.#live.get(id) ?? new LiveConversation("u", id, new Date(0), this.#usage)
    this.#live.set(id, found)
    return found
  }

  #retain(conversation: LiveConversation, chunk: JournalChunk): void {
    conversation.retain(chunk)
    chunk.state = "retained"
  }

  #removeIfUnused(conversation: LiveConversation): void {
    if (conversation.captures === 0 && conversation.isEmpty) this.#live.delete(conversation.id)
  }

  #load(conversation: LiveConversation): boolean {
    const last = this.#store.last(conversation.id)
    const end = last === undefined ? -Infinity : Span.end(last)
    const isOverlapping = conversation.isUncheckedBefore(end)
    conversation.load(this.#store.of(conversation.id).length, end, last?.clockShifts?.at(-1) ?? 0)
    return isOverlapping
  }

  #enter(capture: CaptureWriter, id: string): void {
    const conversation = this.#ensure(id)
    const isFirst = conversation.captures === 0
    conversation.enter(capture)
    const previous = conversation.writer
    conversation.writer = capture
    const enter = () => {
      const isKnown = conversation.loaded && !isFirst
      if (!isKnown && this.#next() >= this.#chances.enterUnloaded) this.#load(conversation)
      this.#say(`entered ${id}, which ends at ${conversation.end}${conversation.loaded ? "" : " as far as is known"}`)
      capture.entered(conversation)
      if (!conversation.loaded) this.#unloaded.push(conversation)
    }
    if (previous === undefined) queueMicrotask(enter)
    else previous.supersede(() => queueMicrotask(enter))
  }

  #leave(capture: CaptureWriter, conversation: LiveConversation): void {
    conversation.writers.delete(capture)
    if (conversation.writer === capture) conversation.writer = undefined
    this.#removeIfUnused(conversation)
  }

  #recall(capture: CaptureWriter, conversation: LiveConversation, wanted: Wanted): void {
    const rows = Layer.mock(ChunkRows, {
      shifted: (_, id) =>
        Effect.succeed(
          this.#store
            .of(id)
            .flatMap(({ chunk }) =>
              (chunk.clockShifts ?? []).map((clockShift) => ({ start: chunk.start, end: Span.end(chunk), clockShift }))
            )
        ),
      within: (_, id, { from, to }) =>
        Stream.fromIterable(
          this.#store
            .of(id)
            .map(({ chunk }) => chunk)
            .filter((chunk) => Span.end(chunk) > from && chunk.start < to)
            .toSorted(Timeline.order)
        )
    })
    const audio = Layer.mock(ChunkAudio, {
      read: (chunk, start, end) => {
        const live = conversation.chunk(chunk.id)
        if (live !== undefined) return Stream.orDie(Stream.fromEffect(this.#journal.read(live, start, end)))
        const stored = this.#store.find(chunk)
        return stored === undefined ? Stream.die(chunk.id) : Stream.make(stored.audio.subarray(start, end))
      }
    })
    const journal = Layer.succeed(Journal, this.#journal)
    RecordedAudio.use((recorded) => recorded.recall(conversation, wanted)).pipe(
      Effect.provide(RecordedAudio.layer.pipe(Layer.provide([journal, rows, audio]))),
      Effect.option,
      Effect.map((found) => {
        const recalled = found._tag === "Some" ? found.value : undefined
        this.#say(`recalled ${wanted.at}: ${recalled === undefined ? "unreadable" : `moved by ${recalled.moved}`}`)
        capture.recalled(wanted.at, recalled)
      }),
      Effect.runFork
    )
  }
}
