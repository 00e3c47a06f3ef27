/** `/v1/captures`. */
import { DateTime, Effect, Layer, Stream } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { ProblemRules, ResponseBody } from "../Http.ts"
import { Principal } from "../Auth.ts"
import type { CaptureStats } from "../Recording.ts"
import { CaptureMonitor, type CapturesSnapshot, type NodeState, type View } from "./CaptureMonitor.ts"
import { type CaptureInfo, CapturesApi, type CapturesInfo } from "./CapturesApi.ts"

/** Rounded to milliseconds. */
const thousandths = (value: number): number => Math.round(value * 1000) / 1000

const capture = (stats: CaptureStats): typeof CaptureInfo.Type => ({
  id: stats.id,
  uid: stats.uid,
  conversation: stats.conversation ?? null,
  sample_rate: stats.sampleRate,
  codec: stats.codec,
  client_kind: stats.clientKind,
  opened_at: DateTime.fromDateUnsafe(stats.openedAt),
  bytes: stats.bytes,
  bytes_per_second: Math.round(stats.bytesPerSecond),
  waiting_bytes: stats.waitingBytes,
  ack_lag: thousandths(stats.ackLag),
  upload_lag: thousandths(stats.uploadLag),
  queued: stats.queued,
  deferred: stats.deferred,
  dropped_segments: stats.droppedSegments
})

const nodeInfo = ({ bounds, bytesPerSecond, captures, failing, memory, store, troubles }: NodeState) => ({
  captures,
  bytes_per_second: Math.round(bytesPerSecond),
  bounds,
  troubles,
  failing,
  memory,
  store: {
    class_a: store.classA,
    class_b: store.classB,
    read_bytes: store.readBytes,
    written_bytes: store.writtenBytes,
    audio_seconds: thousandths(store.audioSeconds)
  }
})

const info = ({ at, captures, node, total }: CapturesSnapshot): typeof CapturesInfo.Type => ({
  at: DateTime.makeUnsafe(at),
  total,
  captures: captures.map(capture),
  node: node === undefined ? null : nodeInfo(node)
})

/** Keys with a scope see all captures, other keys those of their user. */
const viewOf = (by: Principal["Service"], uid: string | undefined): View => {
  const everything = by.scopes.length > 0
  return { uid: everything ? uid : by.uid, node: everything }
}

const group = HttpApiBuilder.group(
  CapturesApi,
  "captures",
  Effect.fn(function* (handlers) {
    const captures = yield* CaptureMonitor
    const { answer } = yield* ProblemRules
    return handlers.handleAll({
      now: ({ query: { uid } }) =>
        Effect.map(
          Effect.flatMap(Principal, (by) => captures.now(viewOf(by, uid))),
          info
        ),
      events: ({ query: { uid } }) =>
        answer(Effect.flatMap(Principal, (by) => captures.events(viewOf(by, uid), by.uid))).pipe(
          Effect.map(Stream.map(info)),
          Effect.tap(ResponseBody.unbuffered)
        )
    })
  })
)

export const layer = HttpApiBuilder.layer(CapturesApi).pipe(Layer.provide(group), Layer.provide(CaptureMonitor.layer))
