/** Streams a WAV file until its last sample is acknowledged, over as many connections as that takes. */
import { Clock, Duration, Effect, Queue, Redacted, Schema } from "effect"
import { WebSocket } from "ws"
import { CaptureClient, type End, type Notice, type State, type Status } from "../../Client.ts"
import { CliConfig } from "../CliConfig.ts"
import { ErrorResponse } from "../ErrorResponse.ts"
import { Screen } from "../Screen.ts"
import type { Wav } from "./Wav.ts"

/** Audio per message at real-time pace, as a device sends it. */
const realtimeFrameSeconds = 0.1

/** The server has not acknowledged all of the audio, and no further try is made. */
export class StreamFailed extends Schema.TaggedError<StreamFailed>()("StreamFailed", { reason: Schema.String }) {
  override get message() {
    return this.reason
  }
}

const failureOf = ({ httpStatus, reason }: End): ErrorResponse | StreamFailed =>
  httpStatus === 401 ? ErrorResponse.of(httpStatus, "", undefined) : new StreamFailed({ reason })

export interface Job {
  readonly wav: Pick<Wav, "extent" | "read" | "release" | "sampleRate">
  readonly conversation: string
  /** `http(s)://host:port` */
  readonly url: string
  readonly key: Redacted.Redacted
  /** Paced like live speech; otherwise as fast as the server acknowledges. */
  readonly realtime: boolean
  /** Unix seconds at which the recorded audio ends. The server would drop earlier samples as a replay. */
  readonly notBefore?: number
}

const seconds = (n: number) => `${n.toFixed(1)} s`

/** Pauses, and notices, that wait to be printed; of more, the oldest is not. */
const maxUnprinted = 16

export const run = Effect.fnUntraced(function* (job: Job) {
  const config = yield* CliConfig
  const screen = yield* Screen
  const { conversation, key, realtime, url, wav } = job
  const { sampleRate } = wav
  const frameSamples = Math.round(sampleRate * (realtime ? realtimeFrameSeconds : Duration.toSeconds(config.fastFrame)))
  const window = Math.max(frameSamples, Math.floor(Duration.toSeconds(config.maxUnacknowledged) * sampleRate))
  const beganAt = (yield* Clock.currentTimeMillis) / 1000
  /** Unix seconds of sample 0, the same for all connections: sample i is at `startedAt + i / sampleRate`. */
  const startedAt = Math.max(beganAt, job.notBefore ?? 0)
  const changes = yield* Queue.sliding<void>(1)
  const pauses = yield* Queue.sliding<Status>(maxUnprinted)
  const notices = yield* Queue.sliding<Notice>(maxUnprinted)

  const client = yield* Effect.acquireRelease(
    Effect.sync(() => {
      let shown: State = "connecting"
      const client = new CaptureClient({
        url,
        key: Redacted.value(key),
        conversation,
        sampleRate,
        clientKind: "spillway-cli",
        WebSocket,
        bufferBytes: window * 2,
        socketBytes: config.maxBuffered,
        messagesPerSecond: config.framesPerSecond,
        patienceMillis: Duration.toMillis(config.patience),
        backoffMillis: Duration.toMillis(config.backoff),
        maxBackoffMillis: Duration.toMillis(config.maxBackoff),
        maxRetryAfterMillis: Duration.toMillis(config.maxRetryAfter),
        tries: config.tries,
        onNotice: (notice) => {
          Queue.offerUnsafe(notices, notice)
          Queue.offerUnsafe(changes, undefined)
        },
        onChange: () => {
          const { state } = client.status
          if (state === "waiting" && state !== shown) Queue.offerUnsafe(pauses, client.status)
          shown = state
          Queue.offerUnsafe(changes, undefined)
        }
      })
      return client
    }),
    (client) => Effect.promise(() => client.close({ deadlineMillis: 0 }))
  )

  const show = Effect.suspend(() => {
    const { accepted, acknowledged: bytes, unsent } = client.totals
    const [sent, acknowledged] = [(accepted - unsent) / 2, bytes / 2]
    const all = wav.extent()?.samples
    const of = all === undefined ? "" : ` of ${seconds(all / sampleRate)}`
    return screen.progress(
      all === undefined ? undefined : acknowledged / all,
      `sent ${seconds(sent / sampleRate)}, acknowledged ${seconds(acknowledged / sampleRate)}${of}`
    )
  })
  const printMessages = Effect.gen(function* () {
    for (const { detail, type } of yield* Queue.clear(notices)) yield* screen.print(`Notice (${type}): ${detail}.`)
    for (const { attempt, reason, retryMillis } of yield* Queue.clear(pauses)) {
      const wait = Duration.format(Duration.millis(retryMillis))
      yield* screen.print(`${reason} Reconnecting in ${wait} (${attempt} of ${config.tries}).`)
    }
  })
  yield* Queue.take(changes).pipe(
    Effect.andThen(printMessages),
    Effect.andThen(show),
    Effect.forever,
    Effect.forkScoped
  )

  let reached = 0
  const sending = Effect.gen(function* () {
    while (true) {
      const pcm = yield* wav.read(reached, reached + frameSamples)
      if (pcm.length === 0) break
      const to = reached + pcm.length / 2
      const wait = realtime ? beganAt + to / sampleRate - (yield* Clock.currentTimeMillis) / 1000 : 0
      if (wait > 0) yield* Effect.sleep(Duration.seconds(wait))
      if (!(yield* Effect.promise(() => client.ready(pcm.length)))) return yield* Effect.promise(() => client.ended)
      client.send(startedAt + reached / sampleRate, pcm)
      reached = to
      wav.release(reached)
      yield* show
    }
    return yield* Effect.promise(() => client.close({ deadlineMillis: Infinity }))
  })
  const end = yield* Effect.raceFirst(
    sending,
    Effect.promise(() => client.ended)
  )
  yield* printMessages
  yield* show
  if (end.cause !== "complete") return yield* failureOf(end)
  return { seconds: reached / sampleRate, unstoredSeconds: client.totals.dropped / 2 / sampleRate }
}, Effect.scoped)
