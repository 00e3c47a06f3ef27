/** The rooms of this node: those with open sockets. What changes is read once for all readers of a room. */
import { Cause, Context, DateTime, Duration, Effect, Layer, Metric, PubSub, Queue, RcMap, Schema } from "effect"
import type { Scope } from "effect"
import * as BackgroundLoop from "../BackgroundLoop.ts"
import { DbCaller, type DbError, Notifications } from "../Db.ts"
import * as DurationHistogram from "../DurationHistogram.ts"
import * as Streams from "../Streams.ts"
import { ChatConfig } from "./ChatConfig.ts"
import type { Change } from "./Message.ts"
import { MessageRows, type RoomState, topic } from "./MessageRows.ts"
import * as Protocol from "./Protocol.ts"

/** Changes that are read at a time. */
const pageSize = 100

/** A room without sockets stays open for this time: they often return at once. */
const idleTime = Duration.seconds(10)

/** Pause after a failure to read a room. */
const retryAfter = Duration.seconds(1)

/** While notifications are received, rooms are still polled once in so many intervals. */
const quietPolls = 15

/** Rooms of one query of the poll. */
const polledAtOnce = 500

const roomCaller: DbCaller = { kind: "request", uid: undefined }

/** What one read has found. `number` counts the batches of the room. */
export interface Batch {
  readonly number: number
  readonly frames: ReadonlyArray<Protocol.Frame>
}

export interface ChatRoom {
  readonly stream: number
  /** A reader that is more than the bound behind loses the oldest batches. */
  readonly batches: PubSub.PubSub<Batch>
  /** Of the latest batch. */
  readonly published: () => number
  /** All changes up to this id are published. */
  readonly position: () => number
  readonly settings: () => Protocol.RoomSettings
  readonly isPrivate: () => boolean
}

/** The stream was deleted meanwhile. */
export class NoRoom extends Schema.TaggedError<NoRoom>()("NoRoom", { stream: Schema.Finite }) {}

export class Rooms extends Context.Service<
  Rooms,
  {
    /** The room of a stream, which stays open until the scope closes. */
    join(stream: number): Effect.Effect<ChatRoom, DbError | NoRoom | Cause.ExceededCapacityError, Scope.Scope>
  }
>()("spillway/Chat/Rooms") {
  static readonly layer = Layer.effect(
    Rooms,
    Effect.suspend(() => make)
  )
}

const openRooms = Metric.gauge("spillway_chat_rooms", { description: "Streams with chat sockets on this node" })
const lag = DurationHistogram.make(
  "spillway_chat_lag_seconds",
  "Time from the commit of a message on any node to its publication to the readers of this node"
)

const streamGone: Protocol.Frame = {
  id: undefined,
  text: JSON.stringify({ type: "gone" }),
  closes: { uid: undefined, code: Protocol.closeCodes.noStream, reason: "the stream was deleted" }
}

class OpenRoom implements ChatRoom {
  readonly stream: number
  readonly batches: PubSub.PubSub<Batch>
  readonly signal: Queue.Queue<void>
  /** There may be unread changes; of the room's state too. */
  isStale = true
  isStateStale = false
  #published = 0
  #position = 0
  #settings: Protocol.RoomSettings = { isEnabled: true, slowModeSeconds: 0 }
  #isPrivate = false

  constructor(stream: number, batches: PubSub.PubSub<Batch>, signal: Queue.Queue<void>) {
    this.stream = stream
    this.batches = batches
    this.signal = signal
  }

  readonly published = () => this.#published
  readonly position = () => this.#position
  readonly settings = () => this.#settings
  readonly isPrivate = () => this.#isPrivate

  start({ isEnabled, isPrivate, lastId, slowModeSeconds }: RoomState) {
    this.#position = lastId
    this.#isPrivate = isPrivate
    this.#settings = { isEnabled, slowModeSeconds }
  }

  wake(isStateStale: boolean) {
    this.isStale = true
    this.isStateStale ||= isStateStale
    Queue.offerUnsafe(this.signal, undefined)
  }

  publish(frames: ReadonlyArray<Protocol.Frame>) {
    return PubSub.publish(this.batches, { number: ++this.#published, frames })
  }

  publishChanges(changes: ReadonlyArray<Change>) {
    const last = changes.at(-1)
    if (last === undefined) return Effect.void
    this.#position = last.id
    return this.publish(changes.map(Protocol.frameOf))
  }

  publishState({ isEnabled, isPrivate, slowModeSeconds }: RoomState) {
    const frames: Array<Protocol.Frame> = []
    if (isPrivate && !this.#isPrivate) frames.push(Protocol.accessFrame)
    this.#isPrivate = isPrivate
    const known = this.#settings
    if (known.isEnabled !== isEnabled || known.slowModeSeconds !== slowModeSeconds) {
      this.#settings = { isEnabled, slowModeSeconds }
      frames.push(Protocol.settingsFrame(this.#settings))
    }
    return frames.length === 0 ? Effect.void : this.publish(frames)
  }
}

const make = Effect.gen(function* () {
  const config = yield* ChatConfig
  const rows = yield* MessageRows
  const notifications = yield* Notifications
  const open = new Map<number, OpenRoom>()

  const wakeAll = () => {
    for (const room of open.values()) room.wake(true)
  }

  const observeLag = Effect.fnUntraced(function* (changes: ReadonlyArray<Change>) {
    const now = yield* DateTime.now
    for (const change of changes)
      if (change.kind === "message")
        yield* Metric.update(lag, Math.max(0, now.epochMilliseconds - change.message.createdAt.getTime()) / 1_000)
  })

  /** Waits until the room may have changed, and publishes what has. */
  const round = (room: OpenRoom) =>
    Effect.gen(function* () {
      if (!room.isStale) yield* Queue.take(room.signal)
      const isStateStale = room.isStateStale
      room.isStale = false
      room.isStateStale = false
      yield* Effect.gen(function* () {
        if (isStateStale) {
          const [state] = yield* rows.states([room.stream])
          yield* state === undefined ? room.publish([streamGone]) : room.publishState(state)
        }
        let read: number = pageSize
        while (read === pageSize) {
          const changes = yield* rows.changes(room.stream, room.position(), pageSize)
          yield* room.publishChanges(changes)
          yield* observeLag(changes)
          read = changes.length
        }
      }).pipe(Effect.onError(() => Effect.sync(() => room.wake(isStateStale))))
      return Duration.zero
    })

  /** Registered before its state is read, so that no notification is missed. */
  const openRoom = Effect.fnUntraced(function* (stream: number) {
    const batches = yield* PubSub.sliding<Batch>(config.queue)
    const room = new OpenRoom(stream, batches, yield* Queue.sliding<void>(1))
    yield* Effect.acquireRelease(
      Effect.sync(() => open.set(stream, room)),
      () =>
        Effect.andThen(
          Effect.sync(() => open.delete(stream)),
          Metric.modify(openRooms, -1)
        )
    )
    yield* Metric.modify(openRooms, 1)
    const [state] = yield* rows.states([stream])
    if (state === undefined) return yield* new NoRoom({ stream })
    room.start(state)
    yield* BackgroundLoop.fork(round(room), { failed: "a chat room could not be read and is read again", retryAfter })
    return room
  })

  const rooms = yield* RcMap.make({
    // Not on behalf of the user whose socket is the first.
    lookup: (stream: number) => Effect.provideService(openRoom(stream), DbCaller, roomCaller),
    idleTimeToLive: idleTime,
    capacity: 2 * config.socketsPerNode
  })

  const wakeOne = (isStateStale: boolean) => (key: string) => open.get(Number(key))?.wake(isStateStale)
  yield* notifications.listen(topic, { onKey: wakeOne(false), onGap: wakeAll })
  yield* notifications.listen(Streams.topic, { onKey: wakeOne(true), onGap: () => {} })

  let polls = 0
  const poll = Effect.gen(function* () {
    if (notifications.isListening() && ++polls % quietPolls !== 0) return
    const streams = [...open.keys()]
    for (let from = 0; from < streams.length; from += polledAtOnce) {
      const asked = streams.slice(from, from + polledAtOnce)
      const states = new Map((yield* rows.states(asked)).map((state) => [state.stream, state]))
      for (const stream of asked) {
        const room = open.get(stream)
        const state = states.get(stream)
        if (
          room !== undefined &&
          (state === undefined || state.lastId > room.position() || hasOtherSettings(room, state))
        )
          room.wake(true)
      }
    }
  })
  yield* BackgroundLoop.every(config.pollInterval, poll, "open chat rooms could not be polled")

  return Rooms.of({
    join: (stream) =>
      RcMap.get(rooms, stream).pipe(
        // A failure or defect would be kept for as long as an idle room, and longer while sockets return.
        Effect.tapCause((cause) => (Cause.hasInterruptsOnly(cause) ? Effect.void : RcMap.invalidate(rooms, stream)))
      )
  })
})

const hasOtherSettings = (room: ChatRoom, { isEnabled, isPrivate, slowModeSeconds }: RoomState) =>
  room.isPrivate() !== isPrivate ||
  room.settings().isEnabled !== isEnabled ||
  room.settings().slowModeSeconds !== slowModeSeconds
