/**
 * A device and a node in one process, without database and sockets: connections break, acknowledgements are lost, the node is
 * killed, chunks are stored and leave the journal, and what is stored becomes known late. Takes a second for what `npm run crash`
 * meets in minutes.
 */
import { Effect, Layer, References, Stream } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { Span, Timeline } from "../../../src/Audio.ts"
import { PacketBuffer } from "../../../src/Client/PacketBuffer.ts"
import * as ClientMessages from "../../../src/Client/Messages.ts"
import type { Acknowledgement, Capture } from "../../../src/Recording.ts"
import type { CaptureWriter } from "../../../src/Recording/Capture/CaptureWriter.ts"
import { RecordedAudio, type Wanted } from "../../../src/Recording/Capture/RecordedAudio.ts"
import { ChunkRows } from "../../../src/Recording/Catalog/ChunkRows.ts"
import type { Chunk } from "../../../src/Recording/Chunk.ts"
import { Journal } from "../../../src/Recording/Journal/Journal.ts"
import type { JournalChunk } from "../../../src/Recording/Journal/JournalChunk.ts"
import { LiveConversation } from "../../../src/Recording/Journal/LiveConversation.ts"
import { ChunkAudio } from "../../../src/Recording/Read/ChunkAudio.ts"
import { Messages, sampleRate } from "../../support/Crash/Messages.ts"
import { describeRuns } from "../../support/Crash/Played.ts"
import { temporaryDirectory } from "../../support/TemporaryDirectory.ts"
import { random } from "./OpusPackets.ts"
import { journalIn, TestNode } from "./TestNode.ts"

/** Probabilities, for each message that the device draws. */
export interface Chances {
  readonly kill: number
  readonly disconnect: number
  readonly commit: number
  readonly store: number
  /** That a stored chunk stays in the journal. */
  readonly retain: number
  /** That a capture enters before the stored state of its conversation is known, and that it becomes known then. */
  readonly enterUnloaded: number
  readonly loadLater: number
}

export interface Outcome {
  readonly kills: number
  /** Conversations that do not play what was sent, or hold more than that. */
  readonly different: ReadonlyArray<string>
  /** What happened, a line for each event. */
  readonly events: ReadonlyArray<string>
}

interface Stored {
  readonly chunk: Chunk
  readonly audio: Buffer
}

/** Messages that go out at once. */
const maxBurst = 20

/** Milliseconds of the node's clock that pass with each message, and with a commit. */
const messageMillis = 100
const commitMillis = 500

const patienceMillis = 30_000

const turn = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

/** The store with its rows, which outlives the nodes. */
class Store {
  readonly #chunks = new Map<string, ReadonlyArray<Stored>>()

  of(conversation: string): ReadonlyArray<Stored> {
    return this.#chunks.get(conversation) ?? []
  }

  find({ conversation, id }: Pick<Chunk, "conversation" | "id">): Stored | undefined {
    return this.of(conversation).find(({ chunk }) => chunk.id === id)
  }

  add(chunk: Chunk, audio: Buffer): void {
    this.#chunks.set(chunk.conversation, [
      ...this.of(chunk.conversation),
      { chunk: { ...chunk, state: "sealed" }, audio }
    ])
  }

  last(conversation: string): Chunk | undefined {
    return this.of(conversation)
      .map(({ chunk }) => chunk)
      .toSorted((a, b) => Span.end(b) - Span.end(a))[0]
  }
}

/** What a node knows, from its start to its kill. */
class Life {
  readonly #journal: Journal["Service"]
  readonly #store: Store
  readonly #chances: Chances
  readonly #next: () => number
  readonly #say: (event: string) => void
  readonly #live = new Map<string, LiveConversation>()
  readonly #usage = { chunks: 0 }
  /** Sealed chunks that are not stored. */
  readonly #waiting: Array<JournalChunk> = []
  #unloaded: Array<LiveConversation> = []
  readonly node: TestNode

  constructor(
    journal: Journal["Service"],
    store: Store,
    {
      chances,
      next,
      say
    }: { readonly chances: Chances; readonly next: () => number; readonly say: (event: string) => void }
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
    this.node = new TestNode(journal, {
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
    conversation.load(this.#store.of(conversation.id).length, end, last?.clockShift ?? 0)
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
        Effect.succeed(this.#store.of(id).map(({ chunk: { clockShift = 0, start } }) => ({ clockShift, start }))),
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

/** The device's connection to a node. */
class Connection {
  readonly #life: Life
  readonly #journal: Journal["Service"]
  readonly #buffer: PacketBuffer
  readonly #capture: Capture & Pick<CaptureWriter, "close">
  readonly #heard: ReturnType<TestNode["capture"]>["heard"]
  readonly #say: (event: string) => void
  #rooms = 0
  hasFailed = false

  constructor(
    life: Life,
    journal: Journal["Service"],
    {
      buffer,
      conversation,
      say
    }: { readonly buffer: PacketBuffer; readonly conversation: string; readonly say: (event: string) => void }
  ) {
    this.#life = life
    this.#journal = journal
    this.#buffer = buffer
    this.#say = say
    buffer.reset()
    const { capture, heard } = life.node.capture({ sampleRate })
    this.#capture = capture
    this.#heard = heard
    const selected = buffer.conversation ?? conversation
    say(`connected to ${selected} with ${buffer.unacknowledged / 2} samples`)
    buffer.select(selected)
    capture.switchTo(selected)
  }

  readonly receive = Effect.map(turn, () => {
    for (const ack of this.#heard.acks.splice(0)) this.#acknowledge(ack)
    for (const failure of this.#heard.failures.splice(0)) this.#fail(failure)
  })

  send(most: number): void {
    for (let count = 0; count < most && this.#heard.rooms > this.#rooms && !this.hasFailed; count++) {
      if (this.#buffer.isBlocked && !this.#buffer.isInFlight) return this.#fail("a conversation is selected again")
      const outgoing = this.#buffer.next()
      if (outgoing === undefined) return
      if (outgoing.selects !== undefined) this.#capture.switchTo(outgoing.selects)
      const { message } = outgoing
      const start = new DataView(message.buffer).getFloat64(ClientMessages.audioHead - 8, true)
      const audio = message.subarray(ClientMessages.audioHead)
      this.#say(`sent ${start} +${audio.length / 2}`)
      if (this.#capture.append(start, audio) === "full") this.#rooms = this.#heard.rooms
    }
  }

  /** The node makes durable what it has received; the device hears nothing of it. */
  readonly close = Effect.gen({ self: this }, function* () {
    this.#say("disconnected")
    const end = { isReached: false }
    this.#capture.close(() => {
      end.isReached = true
    })
    const until = performance.now() + patienceMillis
    while (!end.isReached) {
      if (performance.now() > until) return yield* Effect.die(new Error("the capture does not end"))
      this.#life.node.now += commitMillis
      yield* this.#journal.commit
      yield* turn
    }
  })

  #acknowledge({ bytes, conversation }: Acknowledgement): void {
    this.#say(`acknowledged ${bytes / 2} samples of ${conversation}`)
    if (!this.#buffer.acknowledge(conversation, bytes)) this.#fail("the end of a conversation is not acknowledged")
  }

  #fail(reason: string): void {
    this.#say(`failed: ${reason}`)
    this.hasFailed = true
  }
}

const playedOf = Effect.fnUntraced(function* (store: Store, conversation: string) {
  const journal = yield* Journal
  const found = new Map(store.of(conversation).map((stored) => [stored.chunk.id, stored]))
  for (const live of journal.recovered) {
    const chunk = live.toChunk()
    if (chunk.conversation !== conversation || found.has(chunk.id)) continue
    found.set(chunk.id, { chunk, audio: Buffer.from(yield* journal.read(live, 0, live.durable)) })
  }
  const all = [...found.values()]
  const files = Timeline.layout(all.map(({ chunk }) => chunk).toSorted(Timeline.order), 90)
  const heard = files.flatMap(({ pieces }) =>
    pieces.map(({ chunk, samples, skip }) => found.get(chunk.id)?.audio.subarray(skip * 2, (skip + samples) * 2))
  )
  return {
    heard: Buffer.concat(heard.filter((audio) => audio !== undefined)),
    bytes: all.reduce((sum, { audio }) => sum + audio.length, 0)
  }
})

/** Draws `messages` messages, and ends when the device has its last acknowledgement. */
export const simulate = ({
  chances,
  messages: count,
  seed
}: {
  readonly chances: Chances
  readonly messages: number
  readonly seed: number
}) =>
  Effect.gen(function* () {
    const next = random(seed)
    const root = yield* temporaryDirectory
    const events: Array<string> = []
    const say = (event: string) => {
      events.push(event)
    }
    const messages = new Messages("c", next)
    const buffer = new PacketBuffer(Infinity)
    const store = new Store()
    const progress = { drawn: 0, kills: 0 }
    let directory = Path.join(root, "0")
    Fs.mkdirSync(directory)

    const draw = () => {
      if (progress.drawn === count) return
      progress.drawn++
      const { again, conversation, message } = messages.draw()
      for (const { audio, start } of [...again, message]) buffer.push(conversation, start, audio)
    }

    /** Returns whether all is acknowledged; otherwise the node is killed. */
    const live = Effect.gen(function* () {
      const journal = yield* Journal
      const life = new Life(journal, store, { chances, next, say })
      const connect = () => new Connection(life, journal, { buffer, say, conversation: messages.conversation })
      let connection = connect()
      while (progress.drawn < count || buffer.unacknowledged > 0) {
        draw()
        life.node.now += messageMillis
        yield* connection.receive
        connection.send(1 + Math.floor(next() * maxBurst))
        yield* connection.receive
        if (next() < chances.commit) {
          life.node.now += commitMillis
          yield* journal.commit
          yield* connection.receive
        }
        if (next() < chances.store) yield* life.store
        if (next() < chances.loadLater) life.loadLater()
        if (connection.hasFailed || next() < chances.disconnect) {
          yield* connection.close
          connection = connect()
        }
        if (progress.drawn < count && next() < chances.kill) return false
      }
      yield* connection.close
      return true
    })
    const killed = Effect.gen(function* () {
      const isDone = yield* live
      if (!isDone) progress.kills++
      say(isDone ? "ended" : "killed")
      const left = Path.join(root, isDone ? "end" : String(progress.kills))
      Fs.cpSync(directory, left, { recursive: true })
      directory = left
      return isDone
    })
    yield* Effect.suspend(() => Effect.provide(killed, Layer.fresh(journalIn(directory)))).pipe(
      Effect.repeat({ until: (isDone) => isDone })
    )

    const different: Array<string> = []
    for (const [conversation, pieces] of messages.sent) {
      const played = playedOf(store, conversation).pipe(Effect.provide(Layer.fresh(journalIn(directory))))
      const [{ bytes, heard }, sent] = [yield* played, Buffer.concat(pieces)]
      // What was recorded before the stored state was known may be stored beneath it.
      const holdsMore = bytes !== sent.length && chances.enterUnloaded === 0
      if (!heard.equals(sent) || holdsMore)
        different.push(`${conversation} holds ${bytes / 2} samples and ${describeRuns(heard, sent)}`)
    }
    return { kills: progress.kills, different, events } satisfies Outcome
  }).pipe(Effect.scoped, Effect.provideService(References.MinimumLogLevel, "None"))
