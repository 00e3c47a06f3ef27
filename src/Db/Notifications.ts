/** Notifications between nodes. One connection of the node, besides its pool, listens for all topics. */
import { PgClient } from "@effect/sql-pg"
import { Context, Duration, Effect, Layer, Metric, Queue, Scope } from "effect"
import { Reactivity } from "effect/reactivity"
import type { SqlClient, SqlError } from "effect/sql"
import * as BackgroundLoop from "../BackgroundLoop.ts"
import { DbConfig } from "./DbConfig.ts"
import { DbServer } from "./DbServer.ts"

/** The only one of PostgreSQL's channels: a connection that is pinned for a channel can't be given a second one. */
const channel = "spillway"

/** Pause before the next attempt to connect. */
const retryAfter = Duration.seconds(1)

/** A vanished peer is detected after 10 s of silence and ten probes, one a second. */
const keepAlive = Duration.seconds(10)

/** Both are called synchronously; they must neither throw nor block. */
export interface Listener {
  /** A transaction has committed `notify` with this key, on any node. */
  readonly onKey: (key: string) => void
  /** Keys may have been missed, because the connection was down. Called at each connect. */
  readonly onGap: () => void
}

export class Notifications extends Context.Service<
  Notifications,
  {
    /** Until the scope closes. */
    listen(topic: string, listener: Listener): Effect.Effect<void, never, Scope.Scope>
    /** False while the connection is down, and always behind a pooler, which can't listen: changes must be polled. */
    readonly isListening: () => boolean
  }
>()("spillway/Db/Notifications") {
  static readonly layer = Layer.effect(
    Notifications,
    Effect.suspend(() => make)
  )
}

/** Part of the caller's transaction: sent when it commits, and once however often it is sent. Ids only, of a few bytes. */
export function notify(
  sql: SqlClient.SqlClient,
  topic: string,
  key: string | number
): Effect.Effect<unknown, SqlError.SqlError> {
  return sql`select pg_notify(${channel}, ${`${topic} ${key}`})`
}

const listening = Metric.gauge("spillway_db_listening", {
  description: "1 while the node receives notifications of the database, 0 while it polls instead"
})
const receivedTotal = Metric.counter("spillway_db_notifications_total", {
  description: "Notifications that the node received from the database",
  incremental: true
})

const make = Effect.gen(function* () {
  const { login, pooled } = yield* DbServer
  const { connectTimeout } = yield* DbConfig
  const listeners = new Map<string, Set<Listener>>()
  let isListening = false

  const setListening = (value: boolean) =>
    Effect.suspend(() => {
      isListening = value
      return Metric.update(listening, value ? 1 : 0)
    })

  const dispatch = (payload: string) => {
    const end = payload.indexOf(" ")
    for (const { onKey } of listeners.get(payload.slice(0, end)) ?? []) onKey(payload.slice(end + 1))
  }

  const announceGap = Effect.sync(() => {
    for (const ofTopic of listeners.values()) for (const { onGap } of ofTopic) onGap()
  })

  /** The connection closes first: a listener that ends on an open one waits for `UNLISTEN`, for ever if PostgreSQL hangs. */
  const session = Effect.scopedWith((listener) =>
    Effect.gen(function* () {
      const client = yield* PgClient.makeClient({
        applicationName: "spillway",
        connectTimeout,
        ...login,
        keepAlive,
        prepare: false
      })
      const received = yield* Scope.provide(client.listen(channel), listener)
      yield* setListening(true)
      yield* announceGap
      const receive = Effect.flatMap(Queue.takeAll(received), (notifications) => {
        for (const { payload } of notifications) dispatch(payload)
        return Metric.update(receivedTotal, notifications.length)
      })
      yield* Effect.catchTag(Effect.forever(receive), "SqlError", (error) =>
        Effect.annotateLogs(
          Effect.logWarning("The connection for notifications was lost; changes are polled until it is back"),
          { reason: String(error.reason.cause) }
        )
      )
      return retryAfter
    }).pipe(Effect.ensuring(setListening(false)), Effect.scoped, Effect.provide(Reactivity.layer))
  )

  yield* setListening(false)
  if (!pooled)
    yield* BackgroundLoop.fork(session, {
      failed: "The database could not be reached for notifications; changes are polled",
      retryAfter
    })

  return Notifications.of({
    listen: (topic, listener) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          const ofTopic = listeners.get(topic) ?? new Set()
          listeners.set(topic, ofTopic.add(listener))
        }),
        () =>
          Effect.sync(() => {
            const ofTopic = listeners.get(topic)
            ofTopic?.delete(listener)
            if (ofTopic?.size === 0) listeners.delete(topic)
          })
      ),
    isListening: () => isListening
  })
})
