/** Captures of this node that feed streams: they enter their broadcasts, stay in them and leave. */
import { Clock, Context, Duration, Effect, Layer, Metric, Option, Queue, Schedule, Semaphore } from "effect"
import { SecureRandom } from "effect/crypto"
import * as BackgroundLoop from "../../BackgroundLoop.ts"
import { DbCaller, ingestCaller, Notifications } from "../../Db.ts"
import * as Pusher from "../../Pusher.ts"
import { Recording } from "../../Recording.ts"
import { topic } from "../StreamRows.ts"
import { StreamsConfig } from "../StreamsConfig.ts"
import { BroadcastRows, type Entered, type Heartbeat } from "./BroadcastRows.ts"

/** How long a capture that names no conversation waits for the database to say which one is live. */
const searchLimit = Duration.seconds(5)

/** Timeout of the statement with which a capture leaves. Without it, the grace begins at the last heartbeat, as after a kill. */
const leaveLimit = Duration.seconds(5)

/** Ends that wait to be written. Beyond it the oldest is dropped: its VOD may be ready without its last audio. */
const maxUnwrittenEnds = 10_000

const retries = Schedule.min([Schedule.exponential("200 millis"), Schedule.spaced("5 seconds")])

const reasons = {
  stopped: "the broadcast was ended; connect again for the next one",
  replaced: "another capture with this stream key is live now",
  revoked: "the stream key is no longer valid"
}

export interface LiveStream {
  readonly uid: string
  readonly conversation: string
  readonly bitrate: number
}

export class LiveCaptures extends Context.Service<
  LiveCaptures,
  {
    /** Streams that captures of this node feed. */
    readonly streams: () => ReadonlyArray<number>
    /** None unless a capture of this node feeds the stream. */
    readonly find: (stream: number) => LiveStream | undefined
    /** Ends the captures of a stream on this node, at once: its stream key is not valid any more. */
    readonly revoke: (stream: number) => void
    /** Ends the capture that feeds the broadcast on this node, at once: its owner has ended it. */
    readonly stop: (stream: number, broadcast: number) => void
  }
>()("spillway/Streams/Broadcasts/LiveCaptures") {
  static readonly layer = Layer.effect(
    LiveCaptures,
    Effect.suspend(() => make)
  )
}

const liveGauge = Metric.gauge("spillway_streams_live", { description: "Streams that captures of this node feed" })
const endedTotal = Metric.counter("spillway_stream_captures_ended_total", {
  description:
    "Captures of streams that the server has ended, by reason: replaced (by another one), revoked (its stream key), stopped (by the owner)",
  incremental: true
})

/** A capture, bounded by the node's limit of captures. */
interface Live extends Pusher.StreamCapture {
  readonly token: string
  readonly stream: number
  readonly window: BitrateWindow
  /** The conversation of its audio, and since when it sends that, in monotonic milliseconds. */
  sends: { readonly conversation: string; readonly since: number } | undefined
  entered: Entered | undefined
  /** The broadcast that it has entered last, also when it feeds that no more. */
  last: Entered | undefined
  /** It is being closed, and enters no broadcast any more. */
  isEnded: boolean
  /** Enters the broadcast of what it sends, unless it is in it; again and again, until the database answers. */
  readonly enterSoon: () => void
}

interface UnwrittenEnd {
  readonly live: Live
  readonly entered: Entered
}

/** The id of a new conversation, such as `live-2030-01-31T093000Z-3f9c2a17`. */
const propose = (now: number) => {
  const at = new Date(now).toISOString().slice(0, 19).replaceAll(":", "")
  return `live-${at}Z-${SecureRandom.uuidV4Unsafe().slice(0, 8)}`
}

const windowSeconds = 30

/** The rate at which bytes arrived in the last 30 seconds. */
export class BitrateWindow {
  /** Bytes of a second, by the second modulo the length of the window, and which second that is. */
  readonly #bytes = new Float64Array(windowSeconds)
  readonly #second = new Float64Array(windowSeconds).fill(-1)
  #beganAt: number | undefined

  /** `now`: monotonic milliseconds. */
  add(bytes: number, now: number): void {
    const second = Math.floor(now / 1_000)
    const slot = second % windowSeconds
    if (this.#bytesOf(second - windowSeconds + 1, second) === 0) this.#beganAt = now
    if (this.#second[slot] !== second) this.#bytes[slot] = 0
    this.#second[slot] = second
    this.#bytes[slot] = (this.#bytes[slot] ?? 0) + bytes
  }

  /**
   * Bits per second: what arrived, divided by the time in which it arrived. That is at most 30 seconds, and less for what has just
   * begun, but at least one second.
   */
  bitrate(now: number): number {
    const second = Math.floor(now / 1_000)
    const bytes = this.#bytesOf(second - windowSeconds + 1, second)
    if (bytes === 0 || this.#beganAt === undefined) return 0
    const window = windowSeconds - 1 + now / 1_000 - second
    const covered = Math.min(window, (now - this.#beganAt) / 1_000)
    return (bytes * 8) / Math.max(1, covered)
  }

  #bytesOf(from: number, to: number): number {
    let sum = 0
    for (let slot = 0; slot < windowSeconds; slot++) {
      const second = this.#second[slot] ?? -1
      if (second >= from && second <= to) sum += this.#bytes[slot] ?? 0
    }
    return sum
  }
}

const make = Effect.gen(function* () {
  const rows = yield* BroadcastRows
  const captures = yield* Pusher.StreamCaptures
  const recording = yield* Recording
  const config = yield* StreamsConfig
  const notifications = yield* Notifications
  const clock = yield* Clock.Clock
  const byStream = new Map<number, Set<Live>>()
  const context = yield* Effect.context()
  const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

  const endOne = (live: Live, reason: keyof typeof reasons) => {
    live.entered = undefined
    live.isEnded = true
    Metric.withAttributes(endedTotal, { reason }).updateUnsafe(1, context)
    live.end(reasons[reason])
  }

  const heartbeatOf = ({ stream, token, uid }: Live, entered: Entered): Effect.Effect<Heartbeat> =>
    Effect.map(recording.progress({ uid, conversation: entered.conversation }), ({ end }) => ({
      ...entered,
      stream,
      capture: token,
      audioEnd: Number.isFinite(end) ? end : undefined
    }))

  /** Broadcasts that captures have left or changed for another one, until the end of their audio is in the database. */
  const unwrittenEnds = new Map<string, UnwrittenEnd>()
  const writeEndLater = (live: Live, entered: Entered) => {
    const key = `${live.stream}/${entered.broadcast}`
    unwrittenEnds.delete(key)
    unwrittenEnds.set(key, { live, entered })
    for (const oldest of unwrittenEnds.keys()) {
      if (unwrittenEnds.size <= maxUnwrittenEnds) break
      unwrittenEnds.delete(oldest)
    }
  }
  /** Its audio is durable, or is that of the next broadcast, too. A capture that has closed leaves nothing undurable. */
  const isFinal = ({ entered, live }: UnwrittenEnd) =>
    byStream.get(live.stream)?.has(live) !== true || live.entered?.conversation === entered.conversation
      ? Effect.succeed(true)
      : Effect.map(
          recording.progress({ uid: live.uid, conversation: entered.conversation }),
          ({ isGrowing }) => !isGrowing
        )
  const writeEnds = Effect.suspend(() => {
    const given = [...unwrittenEnds]
    if (given.length === 0) return Effect.void
    return Effect.gen(function* () {
      const final = yield* Effect.filter(given, ([, each]) => isFinal(each))
      yield* rows.writeAudioEnds(yield* Effect.forEach(given, ([, { entered, live }]) => heartbeatOf(live, entered)))
      for (const [key, each] of final) if (unwrittenEnds.get(key) === each) unwrittenEnds.delete(key)
    })
  })

  const enter = Effect.fnUntraced(function* (live: Live, conversation: string | undefined) {
    const { grant, stream, token } = live
    const since = live.sends?.since ?? now()
    const proposed = propose(clock.currentTimeMillisUnsafe())
    const entry = { stream, keyHash: grant.keyHash, capture: token, conversation, proposed, age: now() - since }
    const entered = yield* rows.enter(entry)
    if (Option.isNone(entered)) {
      endOne(live, "revoked")
      return proposed
    }
    if (live.last !== undefined && live.last.broadcast !== entered.value.broadcast) writeEndLater(live, live.last)
    live.entered = live.last = entered.value
    live.sends ??= { conversation: entered.value.conversation, since }
    for (const other of byStream.get(stream) ?? []) {
      if (other !== live && other.entered !== undefined) endOne(other, "replaced")
    }
    return entered.value.conversation
  })

  const open = Effect.fnUntraced(function* (capture: Pusher.StreamCapture) {
    const { stream } = capture.grant
    const token = SecureRandom.uuidV4Unsafe()
    const others = byStream.get(stream) ?? new Set<Live>()
    const [first] = others
    const window = first?.window ?? new BitrateWindow()
    const changed = yield* Queue.sliding<void>(1)
    const enterSoon = () => void Queue.offerUnsafe(changed, undefined)
    const unentered = { sends: undefined, entered: undefined, last: undefined, isEnded: false }
    const live: Live = { ...capture, token, stream, window, ...unentered, enterSoon }
    const mutex = yield* Semaphore.make(1)
    const enterAlone = (conversation: string | undefined) => mutex.withPermit(enter(live, conversation))

    yield* Effect.acquireRelease(
      Effect.sync(() => void byStream.set(stream, others.add(live))),
      () =>
        Effect.suspend(() => {
          others.delete(live)
          if (others.size === 0 && byStream.get(stream) === others) byStream.delete(stream)
          const { last } = live
          if (last === undefined) return Effect.void
          return Effect.flatMap(heartbeatOf(live, last), rows.leave).pipe(
            Effect.timeout(leaveLimit),
            Effect.catch(() => Effect.sync(() => writeEndLater(live, last)))
          )
        })
    )
    const enterIfNeeded = Effect.suspend(() =>
      live.isEnded || live.sends === undefined || live.sends.conversation === live.entered?.conversation
        ? Effect.void
        : Effect.andThen(enterAlone(live.sends.conversation), Effect.ignore(writeEnds))
    ).pipe(
      Effect.catchDefect(Effect.fail),
      Effect.tapError((error) => Effect.logWarning("a capture could not enter its broadcast, and tries again", error)),
      Effect.retry(retries)
    )
    yield* Queue.take(changed).pipe(
      Effect.andThen(enterIfNeeded),
      Effect.forever,
      Effect.provideService(DbCaller, ingestCaller),
      Effect.forkScoped
    )

    return {
      conversation: enterAlone(undefined).pipe(
        Effect.provideService(DbCaller, ingestCaller),
        Effect.timeout(searchLimit),
        Effect.catch(() => Effect.sync(() => propose(clock.currentTimeMillisUnsafe())))
      ),
      received: (conversation: string, bytes: number) => {
        const at = now()
        live.window.add(bytes, at)
        if (live.sends?.conversation === conversation) return
        live.sends = { conversation, since: at }
        enterSoon()
      }
    }
  })
  yield* captures.register(open)

  const all = () => [...byStream.values()].flatMap((lives) => [...lives])

  /** Its broadcast ended while the database was away. The next one begins now. */
  const reenter = (live: Live) => {
    live.entered = undefined
    if (live.sends !== undefined) live.sends = { ...live.sends, since: now() }
    live.enterSoon()
  }

  /** Sends the heartbeats of the captures, and ends those that have lost their broadcasts. */
  const renew = Effect.fnUntraced(function* (captures: ReadonlyArray<Live>) {
    const feeding = yield* Effect.forEach(
      captures.flatMap((live) => (live.entered === undefined ? [] : [{ live, entered: live.entered }])),
      ({ entered, live }) => Effect.map(heartbeatOf(live, entered), (heartbeat) => ({ live, heartbeat }))
    )
    if (feeding.length === 0) return
    const losses = yield* rows.heartbeat(feeding.map(({ heartbeat }) => heartbeat))
    for (const { heartbeat, live } of feeding) {
      const loss = losses.get(live.token)
      if (loss === undefined || live.entered?.broadcast !== heartbeat.broadcast) continue
      if (loss === "ended") reenter(live)
      else endOne(live, loss)
    }
  })

  const heartbeat = Effect.gen(function* () {
    const captures = all()
    const feeding = captures.filter(({ entered }) => entered !== undefined)
    yield* Metric.update(liveGauge, new Set(feeding.map(({ stream }) => stream)).size)
    yield* renew(captures)
    yield* writeEnds
  })
  /** Changed on some node: their keys may be revoked, their broadcasts ended. Bounded by the streams of captures of this node. */
  const changed = new Set<number>()
  const signal = yield* Queue.sliding<void>(1)
  const noteChange = (streams: Iterable<number>) => {
    for (const stream of streams) if (byStream.has(stream)) changed.add(stream)
    if (changed.size > 0) Queue.offerUnsafe(signal, undefined)
  }
  yield* notifications.listen(topic, {
    onKey: (key) => noteChange([Number(key)]),
    onGap: () => noteChange(byStream.keys())
  })
  const endChanged = Effect.gen(function* () {
    yield* Queue.take(signal)
    const streams = [...changed]
    changed.clear()
    const open = streams.flatMap((stream) => [...(byStream.get(stream) ?? [])])
    const revoked = yield* rows
      .revoked(open.map(({ grant: { keyHash, stream } }) => ({ keyHash, stream })))
      .pipe(Effect.onError(() => Effect.sync(() => noteChange(streams))))
    for (const live of open) if (revoked.has(live.grant.keyHash)) endOne(live, "revoked")
    yield* renew(open)
    return Duration.zero
  })
  yield* BackgroundLoop.fork(Effect.provideService(endChanged, DbCaller, ingestCaller), {
    failed: "changed streams could not be checked",
    retryAfter: config.heartbeat
  })
  yield* BackgroundLoop.every(
    config.heartbeat,
    Effect.provideService(heartbeat, DbCaller, ingestCaller),
    "the heartbeats of broadcasts could not be written"
  )

  return LiveCaptures.of({
    streams: () => [...byStream.keys()],
    find: (stream) => {
      const live = [...(byStream.get(stream) ?? [])].find(({ entered }) => entered !== undefined)
      if (live?.entered === undefined) return undefined
      return { uid: live.uid, conversation: live.entered.conversation, bitrate: live.window.bitrate(now()) }
    },
    revoke: (stream) => {
      for (const live of byStream.get(stream) ?? []) endOne(live, "revoked")
    },
    stop: (stream, broadcast) => {
      for (const live of byStream.get(stream) ?? []) if (live.entered?.broadcast === broadcast) endOne(live, "stopped")
    }
  })
})
