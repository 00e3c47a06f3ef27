/**
 * A device and a node in one process, without database and sockets: connections break, acknowledgements are lost, the node is
 * killed, chunks are stored and leave the journal, and what is stored becomes known late. Takes a second for what `npm run crash`
 * meets in minutes.
 */
import { Effect, Layer, References } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { Timeline } from "../../../src/Audio.ts"
import { PacketBuffer } from "../../../src/Client/PacketBuffer.ts"
import { Journal } from "../../../src/Recording/Journal/Journal.ts"
import { Messages } from "../../support/Crash/Messages.ts"
import { describeRuns } from "../../support/Crash/Played.ts"
import { temporaryDirectory } from "../../support/TemporaryDirectory.ts"
import { random } from "./OpusPackets.ts"
import { SimulatedConnection } from "./Simulation/SimulatedConnection.ts"
import { type NodeChances, SimulatedNode } from "./Simulation/SimulatedNode.ts"
import { SimulatedStore } from "./Simulation/SimulatedStore.ts"
import { journalIn } from "./TestNode.ts"

/** Probabilities, for each message that the device draws. */
export interface Chances extends NodeChances {
  readonly kill: number
  readonly disconnect: number
  readonly commit: number
  readonly store: number
  /** That the stored state of conversations which captures have entered without it becomes known. */
  readonly loadLater: number
  /** That the clock of the device is set. */
  readonly setClock: number
}

export interface Outcome {
  readonly kills: number
  /** Conversations that do not play what was sent, or hold more than that. */
  readonly different: ReadonlyArray<string>
  /** What happened, a line for each event. */
  readonly events: ReadonlyArray<string>
}

/** Messages that go out at once. */
const maxBurst = 20

/** Milliseconds of the node's clock that pass with each message. */
const messageMillis = 100

const playedOf = Effect.fnUntraced(function* (store: SimulatedStore, conversation: string) {
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
    const messages = new Messages("c", next, chances)
    const buffer = new PacketBuffer(Infinity)
    const store = new SimulatedStore()
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
      const node = new SimulatedNode(journal, store, { chances, next, say })
      const connect = () => new SimulatedConnection(node, { buffer, say, conversation: messages.conversation })
      let connection = connect()
      while (progress.drawn < count || buffer.unacknowledged > 0) {
        draw()
        node.advance(messageMillis)
        yield* connection.receive
        connection.send(1 + Math.floor(next() * maxBurst))
        yield* connection.receive
        if (next() < chances.commit) {
          yield* node.commit
          yield* connection.receive
        }
        if (next() < chances.store) yield* node.store
        if (next() < chances.loadLater) node.loadLater()
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
