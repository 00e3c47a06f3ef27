/** Streams a WAV file until its last sample is acknowledged. A new connection resumes at the first unacknowledged sample. */
import { Clock, Duration, Effect, Queue, Redacted } from "effect"
import { CliConfig } from "../CliConfig.ts"
import { Disconnected, open } from "../Connection.ts"
import * as Frames from "./Frames.ts"
import * as Reconnect from "../Reconnect.ts"
import { Screen } from "../Screen.ts"
import type { Wav } from "./Wav.ts"

/** Audio per message at real-time pace, as a device sends it. */
const realtimeFrameSeconds = 0.1

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

const endpoint = ({ url, wav }: Job) =>
  `${url.replace(/^http/, "ws").replace(/\/$/, "")}/v1/trigger/listen?sample_rate=${wav.sampleRate}&audio_timeline=2&ack=1`

const seconds = (n: number) => `${n.toFixed(1)} s`

export const run = Effect.fnUntraced(function* (job: Job) {
  const config = yield* CliConfig
  const screen = yield* Screen
  const { conversation, key, realtime, wav } = job
  const { sampleRate } = wav
  const frameSamples = Math.round(sampleRate * (realtime ? realtimeFrameSeconds : Duration.toSeconds(config.fastFrame)))
  const window = Math.max(frameSamples, Math.floor(Duration.toSeconds(config.maxUnacknowledged) * sampleRate))
  const beganAt = (yield* Clock.currentTimeMillis) / 1000
  /** Unix seconds of sample 0, the same for all connections: sample i is at `startedAt + i / sampleRate`. */
  const startedAt = Math.max(beganAt, job.notBefore ?? 0)
  const news = yield* Queue.sliding<void>(1)
  let acknowledged = 0
  let sent = 0
  let reached = 0

  const show = Effect.suspend(() => {
    const all = wav.extent()?.samples
    const of = all === undefined ? "" : ` of ${seconds(all / sampleRate)}`
    return screen.progress(
      all === undefined ? undefined : acknowledged / all,
      `sent ${seconds(sent / sampleRate)}, acknowledged ${seconds(acknowledged / sampleRate)}${of}`
    )
  })

  const onReceived = (received: Frames.Received) => {
    if (received._tag === "Ack" && received.conversation === conversation) {
      const through = Math.round((received.through - startedAt) * sampleRate)
      acknowledged = Math.min(reached, Math.max(acknowledged, through))
      wav.release(acknowledged)
      Queue.offerUnsafe(news, undefined)
    }
  }

  const silent = () => new Disconnected({ reason: `No acknowledgement for ${Duration.format(config.patience)}` })
  const acknowledgement = Queue.take(news).pipe(
    Effect.timeoutOrElse({ duration: config.patience, orElse: silent }),
    Effect.andThen(show)
  )

  const until = Effect.fnUntraced(function* (met: () => boolean) {
    while (!met()) yield* acknowledgement
  })

  /** Unix seconds at which a frame is sent: after its last sample in real time, else at the server's message rate. */
  const due = (frame: { readonly to: number; readonly index: number; readonly openedAt: number }) =>
    realtime ? beganAt + frame.to / sampleRate : frame.openedAt + frame.index / config.framesPerSecond

  const attempt = Effect.gen(function* () {
    const { maxBuffered, patience } = config
    const connection = yield* open({ url: endpoint(job), key, maxBuffered, patience, onReceived })
    const sending = Effect.gen(function* () {
      yield* connection.send(Frames.conversation(conversation))
      const openedAt = (yield* Clock.currentTimeMillis) / 1000
      sent = acknowledged
      for (let index = 0; ; index++) {
        yield* until(() => sent - acknowledged < window)
        // The previous connection's last acknowledgement can arrive after this one opened.
        const from = Math.max(sent, acknowledged)
        const pcm = yield* wav.read(from, from + frameSamples)
        // An acknowledgement during the read released these samples.
        if (acknowledged > from) continue
        if (pcm.length === 0) break
        const to = from + pcm.length / 2
        const wait = due({ to, index, openedAt }) - (yield* Clock.currentTimeMillis) / 1000
        if (wait > 0) yield* Effect.sleep(Duration.seconds(wait))
        reached = Math.max(reached, to)
        yield* connection.send(Frames.audio(startedAt + from / sampleRate, pcm))
        sent = to
        yield* show
      }
      yield* until(() => acknowledged >= reached)
    })
    yield* Effect.raceFirst(sending, connection.ended)
  }).pipe(Effect.scoped)

  yield* Reconnect.reconnecting(
    attempt,
    Effect.sync(() => acknowledged),
    config
  )
  return { seconds: reached / sampleRate }
})
