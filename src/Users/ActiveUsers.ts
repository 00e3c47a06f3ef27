/**
 * Whether the audio of users with captures on this node is stored, as their settings said within the last second. While the
 * settings can't be read, what was read last applies; of users that this node does not know, nothing is received meanwhile.
 */
import { Clock, Context, Deferred, Duration, Effect, Layer, Metric, Queue, Schema } from "effect"
import type { Scope } from "effect"
import * as BackgroundLoop from "../BackgroundLoop.ts"
import { Db, DbCaller, ingestCaller } from "../Db.ts"
import { UsersConfig } from "./UsersConfig.ts"

const readEvery = Duration.seconds(1)

/** Delay of a new user's read, in which several users share a query. */
const gatheredFor = Duration.millis(10)

/** A slower read is repeated. */
const readLimit = Duration.seconds(5)

/** Users of one query. With more, the ones that were read longest ago are next. */
const maxRead = 5_000

/** How long a user stays known who has left. */
const knownFor = Duration.minutes(10)

/** Users who have left and stay known; at the bound the next one is forgotten at once. */
const maxLeft = 10_000

export interface ActiveUser {
  readonly storesAudio: boolean
}

export class ActiveUsers extends Context.Service<
  ActiveUsers,
  {
    /** The user's settings, kept current until the scope closes. Waits while they can't be read and were not read before. */
    enter(uid: string): Effect.Effect<ActiveUser, never, Scope.Scope>
  }
>()("spillway/Users/ActiveUsers") {
  static readonly layer = Layer.effect(
    ActiveUsers,
    Effect.suspend(() => make)
  )
}

const optedOut = Metric.gauge("spillway_users_not_stored", {
  description: "Users with captures on this node whose audio is not stored"
})
const unknownUsers = Metric.gauge("spillway_users_unknown", {
  description: "Users with captures on this node that wait until their settings can be read"
})

interface Entry {
  readonly uid: string
  storesAudio: boolean
  readonly known: Deferred.Deferred<void>
  isKnown: boolean
  captures: number
  /** Monotonic milliseconds. */
  leftAt: number
}

const decode = Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ uid: Schema.String, store: Schema.Boolean })))

const make = Effect.gen(function* () {
  const db = yield* Db
  const { storeAudio } = yield* UsersConfig
  const byDefault = storeAudio === "yes"
  const clock = yield* Clock.Clock
  const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  /** The one that was read longest ago is first. Users with captures are bounded by the node's captures. */
  const users = new Map<string, Entry>()
  const unknown = new Set<Entry>()
  const entered = yield* Queue.sliding<void>(1)
  let left = 0
  let readAt = -Infinity

  const forget = (entry: Entry) => {
    users.delete(entry.uid)
    unknown.delete(entry)
  }

  const read = Effect.fnUntraced(function* (some: ReadonlyArray<Entry>) {
    const rows = yield* db
      .read("ActiveUsers.read", (sql) =>
        sql`
          SELECT uid, store_audio AS store FROM user_settings
          WHERE uid = ANY(${some.map(({ uid }) => uid)}::text[]) AND store_audio IS NOT NULL`.pipe(
          Effect.flatMap(decode),
          Effect.catchTag("SchemaError", Effect.die)
        )
      )
      .pipe(Effect.timeout(readLimit), Effect.provideService(DbCaller, ingestCaller))
    const stores = new Map(rows.map(({ store, uid }) => [uid, store]))
    for (const entry of some) {
      // It was forgotten during the read.
      if (users.get(entry.uid) !== entry) continue
      entry.storesAudio = stores.get(entry.uid) ?? byDefault
      entry.isKnown = true
      unknown.delete(entry)
      Deferred.doneUnsafe(entry.known, Effect.void)
      users.delete(entry.uid)
      if (entry.captures > 0 || now() - entry.leftAt < Duration.toMillis(knownFor)) users.set(entry.uid, entry)
      else left--
    }
  })

  const readAll = Effect.gen(function* () {
    readAt = now()
    if (users.size > 0) yield* read([...users.values()].slice(0, maxRead))
    const active = [...users.values()].filter(({ captures }) => captures > 0)
    yield* Metric.update(optedOut, active.filter(({ isKnown, storesAudio }) => isKnown && !storesAudio).length)
    yield* Metric.update(unknownUsers, unknown.size)
  })

  yield* BackgroundLoop.fork(
    Effect.gen(function* () {
      const until = Math.max(0, readAt + Duration.toMillis(readEvery) - now())
      if (unknown.size === 0) yield* Effect.timeoutOption(Queue.take(entered), Duration.millis(until))
      if (now() - readAt >= Duration.toMillis(readEvery)) yield* readAll
      else if (unknown.size > 0) yield* read([...unknown].slice(0, maxRead))
      return gatheredFor
    }),
    {
      failed: "the settings of users can't be read: those read before apply, and other users wait",
      retryAfter: readEvery
    }
  )

  const newEntry = (uid: string): Entry => {
    const known = Deferred.makeUnsafe<void>()
    const entry = { uid, storesAudio: false, known, isKnown: false, captures: 0, leftAt: 0 }
    users.set(uid, entry)
    unknown.add(entry)
    Queue.offerUnsafe(entered, undefined)
    return entry
  }

  const leave = (entry: Entry) => {
    entry.captures--
    if (entry.captures > 0) return
    entry.leftAt = now()
    if (!entry.isKnown || left >= maxLeft) forget(entry)
    else left++
  }

  return ActiveUsers.of({
    enter: (uid) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          const entry = users.get(uid) ?? newEntry(uid)
          if (entry.captures === 0 && entry.isKnown) left--
          entry.captures++
          return entry
        }),
        (entry) => Effect.sync(() => leave(entry))
      ).pipe(Effect.tap(({ known }) => Deferred.await(known)))
  })
})
