/** Requests purges of conversations whose retention has ended. */
import { Context, Duration, Effect, Layer, Metric, Option } from "effect"
import { type DbError } from "../../Db.ts"
import { Purges } from "../../Purges.ts"
import { Recording } from "../../Recording.ts"
import { RetentionConfig } from "./RetentionConfig.ts"
import { RetentionRows } from "./RetentionRows.ts"
import type { StorageRefused, StorageUnavailable } from "../../Storage.ts"

/** `more`: further users follow. `round`: all users were checked. `full`: `maxStarted` purges are in progress. */
export type Swept = "more" | "round" | "full"

/** At this number of purges in progress no further ones are requested, so that purges on request soon have their turn. */
const maxStarted = 32

/** Users that a sweep checks. */
const usersAtOnce = 100

export class Retention extends Context.Service<
  Retention,
  {
    /** Requests purges for the next users. */
    readonly sweep: Effect.Effect<Swept, DbError | StorageUnavailable | StorageRefused>
  }
>()("spillway/Purges/Retention/Retention") {
  static readonly layer = Layer.effect(
    Retention,
    Effect.suspend(() => make)
  ).pipe(Layer.provide(RetentionRows.layer))
}

const expired = Metric.counter("spillway_retention_purges_total", {
  description: "Purges of conversations that this node has requested because their retention has ended",
  incremental: true
})

const make = Effect.gen(function* () {
  const rows = yield* RetentionRows
  const purges = yield* Purges
  const recording = yield* Recording
  const { retentionDays } = yield* RetentionConfig
  /** The last user that was checked. */
  let position = ""

  const sweep = Effect.gen(function* () {
    const room = maxStarted - (yield* rows.started(maxStarted))
    if (room <= 0) return "full"
    const users = yield* rows.expired({ after: position, users: usersAtOnce, each: room, defaultDays: retentionDays })
    let left = room
    for (const { conversations, uid } of users) {
      const ended = yield* Effect.filter(conversations, (conversation) =>
        Effect.map(recording.isLive({ uid, conversation }), (isLive) => !isLive)
      )
      for (const conversation of ended.slice(0, left)) {
        const purge = yield* purges.request({ uid, conversation }, Duration.zero)
        if (Option.isSome(purge)) yield* Metric.update(expired, 1)
      }
      left -= ended.length
      // The next sweep continues with this user.
      if (left < 0 || (left === 0 && conversations.length === room)) return "full"
      position = uid
    }
    if (users.length === usersAtOnce) return "more"
    position = ""
    return "round"
  })

  return Retention.of({ sweep })
})
