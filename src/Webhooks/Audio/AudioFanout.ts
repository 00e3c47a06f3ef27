/**
 * Sends live audio to endpoints. What a capture has for an endpoint waits alone: a newer piece supersedes one that has not been
 * sent. Nothing is sent again.
 */
import { Clock, Duration, Effect, Exit, FiberSet, Layer, Metric } from "effect"
import { SecureRandom } from "effect/crypto"
import { FairQueue } from "../../Bulkhead.ts"
import * as Pusher from "../../Pusher.ts"
import { Breakers } from "../Breakers.ts"
import { liveSecrets, makeCredentials } from "../Endpoints/Endpoint.ts"
import * as Ids from "../Ids.ts"
import * as Signature from "../Signature.ts"
import { WebhookClient } from "../WebhookClient.ts"
import { type AudioEndpoint, AudioEndpoints } from "./AudioEndpoints.ts"

/** Requests at once. The others wait in turns of their users. The client has connections left for events. */
const maxRunning = 24

/** Requests of a user at once. */
const maxRunningOfUser = 8

/** Bytes of pieces that wait or are being sent. At the bound a piece is dropped and counted. */
const maxBytes = 64 * 1024 * 1024

/** Time of a whole request. */
const requestLimit = Duration.seconds(15)

/** Time for what is being sent when the node stops. */
const flushTimeout = Duration.seconds(5)

const piecesTotal = Metric.counter("spillway_webhook_audio_total", {
  description:
    "Pieces of live audio for an endpoint by outcome: delivered, failed, spared (its breaker is open, or its host has too many requests), superseded (by a newer piece), dropped (64 MiB waited)",
  incremental: true
})

/** What a capture has for an endpoint. */
interface Slot {
  readonly endpoint: AudioEndpoint
  waiting: Pusher.AudioPiece | undefined
  /** It waits for its turn, or its request is under way. */
  isBusy: boolean
}

const urlOf = ({ url }: AudioEndpoint, { codec, conversation, sampleRate, uid }: Pusher.AudioPiece): string => {
  const target = new URL(url)
  const query = { sample_rate: String(sampleRate), uid, conversation_id: conversation, codec }
  for (const [name, value] of Object.entries(query)) target.searchParams.set(name, value)
  return target.href
}

const make = Effect.gen(function* () {
  const client = yield* WebhookClient
  const breakers = yield* Breakers
  const endpoints = yield* AudioEndpoints
  const credentials = yield* makeCredentials
  const clock = yield* Clock.Clock
  const context = yield* Effect.context()
  const audio = yield* Pusher.LiveAudio
  const fork = yield* FiberSet.makeRuntime<never>()
  /** At most one for each capture and endpoint that has received its audio. */
  const slots = new WeakMap<Pusher.AudioTap, Map<string, Slot>>()
  const queue = FairQueue.make<Slot>()
  const running = new Map<string, number>()
  let [runs, bytes] = [0, 0]

  const count = (outcome: string) => Metric.withAttributes(piecesTotal, { outcome }).updateUnsafe(1, context)

  const send = Effect.fnUntraced(function* (endpoint: AudioEndpoint, piece: Pusher.AudioPiece) {
    const held = yield* credentials.fromRow(endpoint.uid, endpoint.credentials)
    const now = clock.currentTimeMillisUnsafe()
    const message = {
      id: Ids.eventId(SecureRandom.uuidV7Unsafe()),
      timestamp: Math.floor(now / 1_000),
      body: piece.audio
    }
    const headers = {
      ...held.headers,
      "content-type": "application/octet-stream",
      "user-agent": "spillway",
      ...Signature.headersOf(message, liveSecrets(held, now))
    }
    const target = { url: urlOf(endpoint, piece), key: endpoint.id, patience: Duration.zero }
    return yield* client.withHost(target, (post) =>
      breakers.execute(post({ headers, body: piece.audio, limit: requestLimit }), {
        key: endpoint.id,
        classify: Breakers.classify
      })
    )
  })

  const outcomeOf = (exit: Exit.Exit<{ readonly status: number }, { readonly _tag: string }>) => {
    if (Exit.isSuccess(exit)) return exit.value.status >= 200 && exit.value.status < 300 ? "delivered" : "failed"
    const isSent = exit.cause.reasons.some((reason) => reason._tag !== "Fail" || reason.error._tag === "SendFailed")
    return isSent ? "failed" : "spared"
  }

  const leave = (uid: string) => {
    runs--
    const left = (running.get(uid) ?? 1) - 1
    if (left === 0) running.delete(uid)
    else running.set(uid, left)
  }

  const startWaiting = () => {
    while (runs < maxRunning) {
      const slot = queue.next((uid) => (running.get(uid) ?? 0) < maxRunningOfUser)
      const piece = slot?.waiting
      if (slot === undefined || piece === undefined) return
      slot.waiting = undefined
      runs++
      running.set(piece.uid, (running.get(piece.uid) ?? 0) + 1)
      const end = (exit: Parameters<typeof outcomeOf>[0]) =>
        Effect.sync(() => {
          count(outcomeOf(exit))
          leave(piece.uid)
          bytes -= piece.audio.length
          if (slot.waiting === undefined) slot.isBusy = false
          else queue.add(piece.uid, slot)
          startWaiting()
        })
      fork(Effect.ignore(Effect.onExit(send(slot.endpoint, piece), end)))
    }
  }

  const slotOf = (tap: Pusher.AudioTap, endpoint: AudioEndpoint): Slot => {
    const ofTap = slots.get(tap) ?? new Map<string, Slot>()
    slots.set(tap, ofTap)
    const known = ofTap.get(endpoint.id)
    const slot: Slot = { ...(known ?? { waiting: undefined, isBusy: false }), endpoint }
    if (known?.isBusy === true) return known
    ofTap.set(endpoint.id, slot)
    return slot
  }

  const offer = (slot: Slot, piece: Pusher.AudioPiece) => {
    const superseded = slot.waiting?.audio.length ?? 0
    if (bytes - superseded + piece.audio.length > maxBytes) return count("dropped")
    if (slot.waiting !== undefined) count("superseded")
    bytes += piece.audio.length - superseded
    slot.waiting = piece
    if (slot.isBusy) return
    slot.isBusy = true
    queue.add(piece.uid, slot)
  }

  yield* Effect.addFinalizer(() =>
    Effect.ignore(
      Effect.timeout(
        Effect.repeat(
          Effect.delay(
            Effect.sync(() => runs),
            "20 millis"
          ),
          { until: (n) => n === 0 }
        ),
        flushTimeout
      )
    )
  )
  yield* audio.add({
    lengths: endpoints.lengths,
    take: (tap, seconds, piece) => {
      for (const endpoint of endpoints.of(piece.uid)) {
        if (endpoint.seconds === seconds) offer(slotOf(tap, endpoint), piece)
      }
      startWaiting()
    }
  })
})

export const layer = Layer.effectDiscard(make).pipe(Layer.provide(AudioEndpoints.layer))
