/** Live streams: channels of users, who go live with a stream key, and their readers. */
import { Cache, Context, Duration, Effect, Exit, Layer, Option } from "effect"
import { Authentication, isAdministrator, type Principal } from "./Auth.ts"
import type { DbError } from "./Db.ts"
import { Events } from "./Events.ts"
import { Finalization } from "./Finalization.ts"
import { Problem } from "./Http.ts"
import { BroadcastRows } from "./Streams/Broadcasts/BroadcastRows.ts"
import { Audience } from "./Streams/Audience.ts"
import { LiveCaptures } from "./Streams/Broadcasts/LiveCaptures.ts"
import { type ChatSource, type Measured, StreamMetrics } from "./Streams/Metrics/StreamMetrics.ts"
import type { Stream, StreamFor } from "./Streams/Stream.ts"
import { StreamRows } from "./Streams/StreamRows.ts"

export { ChatChanges, Description, maxSlowModeSeconds, type Stream, Title } from "./Streams/Stream.ts"
export { Erasure as StreamErasure } from "./Streams/Erasure.ts"
export { topic } from "./Streams/StreamRows.ts"

/** How long a stream is cached whose listeners are checked again. They share one query. */
const currentFor = Duration.seconds(3)

/** Streams in the cache. At the bound, the one that was read longest ago is evicted. */
const maxCurrent = 1_000

/** Answers a slug that no stream has, and that of a stream which the caller may not read or manage. */
export const noStream = Problem.notFound("There is no stream with this slug.")

/** Whether a user may read a private stream that is not its own. */
type Admits = (stream: Stream, uid: string) => Effect.Effect<boolean, DbError>

export class Streams extends Context.Service<
  Streams,
  Pick<StreamRows["Service"], "create" | "list" | "update" | "remove" | "end" | "rotateKey"> & {
    /** The stream, and what the principal, or a visitor without a key, is to it. None if it may not read the stream. */
    findFor(slug: string, principal: Principal["Service"] | undefined): Effect.Effect<Option.Option<StreamFor>, DbError>
    /** Whether the principal may still read a stream, whatever its slug is by now. The stream is cached for 3 seconds. */
    isReadable(id: number, principal: Principal["Service"] | undefined): Effect.Effect<boolean, DbError>
    /** As `findFor`, with the live metrics. Both are cached for 3 seconds. */
    metricsFor(
      slug: string,
      principal: Principal["Service"] | undefined
    ): Effect.Effect<Option.Option<StreamFor & { readonly measured: Measured }>, DbError>
    /** Sets the source of the figures of chats. Metrics have none without it. */
    measureChatBy(source: ChatSource): Effect.Effect<void>
    /** What a capture of this node feeds for the stream; undefined if none does. */
    readonly liveOn: LiveCaptures["Service"]["find"]
    /** Counts a listener of the stream until the scope closes. */
    readonly listen: Audience["Service"]["enter"]
    /** Lets more users read private streams: their moderators. */
    admit(admits: Admits): Effect.Effect<void>
    /** Ends broadcasts that nothing has fed for the grace, a bounded number; returns how many. */
    readonly sweep: BroadcastRows["Service"]["sweep"]
  }
>()("spillway/Streams") {
  static readonly layerNoDeps = Layer.effect(
    Streams,
    Effect.suspend(() => make)
  )
  static readonly layer = this.layerNoDeps.pipe(
    Layer.provide(StreamMetrics.layer),
    Layer.provide([StreamRows.layer, LiveCaptures.layer, Audience.layer]),
    Layer.provide(BroadcastRows.layer),
    Layer.provide([Finalization.layer, Events.layer])
  )
}

const make = Effect.gen(function* () {
  const rows = yield* StreamRows
  const broadcasts = yield* BroadcastRows
  const captures = yield* LiveCaptures
  const metrics = yield* StreamMetrics
  const audience = yield* Audience
  const authentication = yield* Authentication
  const readers: Array<Admits> = []

  const isAdmitted = (stream: Stream, uid: string) =>
    Effect.map(
      Effect.findFirst(readers, (admits) => admits(stream, uid)),
      Option.isSome
    )

  const roleFor = Effect.fnUntraced(function* (
    stream: Stream,
    principal: Principal["Service"] | undefined
  ): Effect.fn.Return<Option.Option<StreamFor>, DbError> {
    if (principal?.uid === stream.uid) return Option.some({ stream, role: "owner" })
    if (principal !== undefined && isAdministrator(principal)) return Option.some({ stream, role: "admin" })
    if (stream.visibility !== "private") return Option.some({ stream, role: "reader" })
    if (principal === undefined || !(yield* isAdmitted(stream, principal.uid))) return Option.none()
    return Option.some({ stream, role: "reader" })
  })

  const current = yield* Cache.makeWith(rows.findById, {
    capacity: maxCurrent,
    timeToLive: (exit) => (Exit.isSuccess(exit) ? currentFor : Duration.zero)
  })

  yield* authentication.findStreamKeysBy((key) =>
    Effect.map(
      rows.findByKey(key),
      Option.map(({ uid, ...grant }) => ({ uid, scopes: [], keyId: `stream_${grant.stream}`, grant }))
    )
  )

  /** At once on this node, within seconds on others. */
  const revoke = <A, E>(change: Effect.Effect<Option.Option<A>, E>, idOf: (changed: A) => number) =>
    Effect.tap(change, (changed) =>
      Effect.sync(() => {
        if (Option.isSome(changed)) captures.revoke(idOf(changed.value))
      })
    )

  return Streams.of({
    create: rows.create,
    list: rows.list,
    update: rows.update,
    remove: (by, slug, isExpected) => revoke(rows.remove(by, slug, isExpected), ({ id }) => id),
    end: (by, slug) =>
      Effect.tap(rows.end(by, slug), (ended) =>
        Effect.sync(() => {
          if (Option.isNone(ended)) return
          const { broadcast, stream } = ended.value
          if (broadcast !== undefined) captures.stop(stream.id, broadcast)
        })
      ),
    rotateKey: (by, slug) => revoke(rows.rotateKey(by, slug), ({ stream }) => stream.id),
    findFor: Effect.fn("Streams.findFor")(function* (slug, principal) {
      const found = yield* rows.find(slug)
      return Option.isNone(found) ? Option.none() : yield* roleFor(found.value, principal)
    }),
    isReadable: Effect.fnUntraced(function* (id, principal) {
      const found = yield* Cache.get(current, id)
      return Option.isSome(found) && Option.isSome(yield* roleFor(found.value, principal))
    }),
    metricsFor: Effect.fnUntraced(function* (slug, principal) {
      const measured = yield* metrics.get(slug)
      if (Option.isNone(measured)) return Option.none()
      const found = yield* roleFor(measured.value.stream, principal)
      return Option.map(found, (found) => ({ ...found, measured: measured.value }))
    }),
    measureChatBy: metrics.measureChatBy,
    liveOn: captures.find,
    listen: audience.enter,
    admit: (admits) => Effect.sync(() => void readers.push(admits)),
    sweep: broadcasts.sweep
  })
})
