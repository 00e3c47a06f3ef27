/** A node's ingest without database and sockets: a real journal in a temporary directory, and captures on it. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import type { Acknowledgement } from "../../../src/Recording.ts"
import { Effect, Exit, Layer, References, Stream } from "effect"
import { OpusPacket, type Span } from "../../../src/Audio.ts"
import { NodeConfig } from "../../../src/NodeConfig.ts"
import { RecordingConfig } from "../../../src/Recording.ts"
import { ChunkAudio } from "../../../src/Recording/Read/ChunkAudio.ts"
import { ChunkRows } from "../../../src/Recording/Catalog/ChunkRows.ts"
import { Journal } from "../../../src/Recording/Journal/Journal.ts"
import { RecordedAudio } from "../../../src/Recording/Capture/RecordedAudio.ts"
import type { CaptureHost } from "../../../src/Recording/Capture/CaptureHost.ts"
import { CaptureWriter } from "../../../src/Recording/Capture/CaptureWriter.ts"
import { JournalChunk } from "../../../src/Recording/Journal/JournalChunk.ts"
import { LiveConversation } from "../../../src/Recording/Journal/LiveConversation.ts"
import * as Settings from "../../../src/Settings.ts"
import { temporaryDirectory } from "../../support/TemporaryDirectory.ts"

/** The defaults, with a test's overrides. */
export const recordingConfig = (overrides: Partial<RecordingConfig["Service"]> = {}) =>
  Layer.effect(
    RecordingConfig,
    Effect.map(Settings.read(RecordingConfig.settings), (config) => ({ ...config, ...overrides }))
  )

/** The journal in `dataDir`, as a process that starts there finds it. */
export const journalIn = (dataDir: string, overrides: Partial<RecordingConfig["Service"]> = {}) =>
  Journal.layer.pipe(
    Layer.provide([recordingConfig(overrides), Layer.succeed(NodeConfig, { dataDir }), NodeServices.layer])
  )

let ids = 0

/** Ids that differ from call to call. */
export const newId = (): string => `00000000-0000-0000-0000-${String(++ids).padStart(12, "0")}`

/** A chunk of user "u" in conversation "c", without audio. */
export const journalChunk = (): JournalChunk =>
  new JournalChunk({ id: newId(), uid: "u", conversation: "c", start: 0, sampleRate: 8000, codec: "pcm16" }, 0)

/** The packets of an Opus chunk in the journal. */
export const packetsOf = (journal: Journal["Service"], chunk: JournalChunk) =>
  Effect.orDie(Effect.map(journal.read(chunk, 0, chunk.durable), OpusPacket.split))

/** The recorded audio of a conversation that is only in the journal. */
const recordedIn = (journal: Journal["Service"], conversation: LiveConversation) =>
  RecordedAudio.layer.pipe(
    Layer.provide([
      Layer.succeed(Journal, journal),
      Layer.mock(ChunkRows, { within: () => Stream.empty, shifted: () => Effect.succeed([]) }),
      Layer.mock(ChunkAudio, {
        read: (chunk, start, end) => {
          const found = conversation.chunk(chunk.id)
          return found === undefined
            ? Stream.die(chunk.id)
            : Stream.orDie(Stream.fromEffect(journal.read(found, start, end)))
        },
        packets: (chunk) => {
          const found = conversation.chunk(chunk.id)
          return found === undefined ? Effect.die(chunk.id) : packetsOf(journal, found)
        }
      })
    ])
  )

export interface Heard {
  readonly acks: Array<Acknowledgement>
  readonly failures: Array<string>
  readonly shifts: Array<number>
  rooms: number
}

/** Captures on a journal. `now` is the clock; sealed chunks are collected in order. */
export class TestNode {
  readonly journal: Journal["Service"]
  readonly conversations = new Map<string, LiveConversation>()
  readonly holding = { chunks: 0 }
  readonly sealed: Array<JournalChunk> = []
  readonly abandoned: Array<JournalChunk> = []
  /** Seconds of replays. */
  replayed = 0
  /** Reads of recorded audio. */
  recalls = 0
  now = 0
  readonly #overrides: Partial<CaptureHost>

  constructor(journal: Journal["Service"], overrides: Partial<CaptureHost> = {}) {
    this.journal = journal
    this.#overrides = overrides
  }

  conversation(id: string): LiveConversation {
    const found = this.conversations.get(id) ?? new LiveConversation("u", id, new Date(0), this.holding)
    this.conversations.set(id, found)
    return found
  }

  capture(
    options: {
      readonly uid?: string
      readonly exact?: boolean
      readonly sampleRate?: number
      readonly codec?: Span.Codec
      readonly markDirty?: CaptureHost["markDirty"]
    } = {}
  ) {
    const heard: Heard = { acks: [], failures: [], shifts: [], rooms: 0 }
    const capture: CaptureWriter = new CaptureWriter(
      {
        uid: options.uid ?? "u",
        sampleRate: options.sampleRate ?? 8000,
        codec: options.codec ?? "pcm16",
        exact: options.exact ?? true,
        onAck: (ack) => heard.acks.push(ack),
        onRoom: () => heard.rooms++,
        onFailure: (failure) => heard.failures.push(failure._tag),
        onShift: (seconds) => heard.shifts.push(seconds)
      },
      {
        bufferBytes: 65_536,
        usualSeconds: 0.7,
        backlogBytes: 2_097_152,
        chunkSeconds: 60,
        firstShare: () => 1,
        chunksPerConversation: 1000,
        chunksPerUser: 1000,
        now: () => this.now,
        monotonic: () => this.now,
        newId,
        markDirty: options.markDirty ?? this.journal.markDirty,
        markUrgent: this.journal.markUrgent,
        enter: (capture, id) => {
          const conversation = this.conversation(id)
          conversation.load(0, -Infinity, 0)
          capture.entered(conversation)
        },
        leave: () => {},
        sealed: (_capture, chunk) => this.sealed.push(chunk),
        abandoned: (chunk) => this.abandoned.push(chunk),
        recall: (capture, conversation, wanted) => {
          this.recalls++
          RecordedAudio.use((recorded) => recorded.recall(conversation, wanted)).pipe(
            Effect.provide(recordedIn(this.journal, conversation)),
            Effect.exit,
            Effect.map((exit) => capture.recalled(wanted.at, Exit.isSuccess(exit) ? exit.value : undefined)),
            Effect.runFork
          )
        },
        died: () => {},
        replayed: (seconds) => {
          this.replayed += seconds
        },
        shifted: (capture, seconds) => capture.options.onShift?.(seconds),
        ...this.#overrides
      }
    )
    return { capture, heard }
  }
}

/** Runs a test on a journal in a temporary directory. Its clock stands still: commits happen when the test asks for them. */
export const onJournal = <A, E>(
  test: (on: {
    readonly node: TestNode
    readonly journal: Journal["Service"]
    readonly dataDir: string
  }) => Effect.Effect<A, E>,
  options: { readonly host?: Partial<CaptureHost>; readonly bounds?: Parameters<typeof journalIn>[1] } = {}
) =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    return yield* Effect.flatMap(Journal, (journal) =>
      test({ node: new TestNode(journal, options.host), journal, dataDir })
    ).pipe(Effect.provide(Layer.fresh(journalIn(dataDir, options.bounds))))
  }).pipe(Effect.scoped, Effect.provideService(References.MinimumLogLevel, "None"))

/** Ends the capture, with as many commits as it takes. */
export const ended = (capture: CaptureWriter, journal: Journal["Service"]) =>
  Effect.suspend(() => {
    const end = { reached: false }
    capture.close(() => {
      end.reached = true
    })
    return journal.commit.pipe(Effect.andThen(Effect.yieldNow), Effect.repeat({ until: () => end.reached }))
  })

/** `samples` samples that differ from their neighbours, from `from` on. */
export const ramp = (samples: number, from = 0): Uint8Array => {
  const bytes = Buffer.alloc(samples * 2)
  for (let index = 0; index < samples; index++)
    bytes.writeInt16LE((((from + index) * 7919) % 65_536) - 32_768, index * 2)
  return bytes
}
