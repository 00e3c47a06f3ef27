/** Endpoints that receive live audio, of the users who have captures on this node. Read once a second. */
import { Clock, Context, Duration, Effect, Layer, Schema } from "effect"
import * as BackgroundLoop from "../../BackgroundLoop.ts"
import { Db, DbCaller, ingestCaller } from "../../Db.ts"
import { isActive } from "../Endpoints/EndpointRows.ts"

const readEvery = Duration.seconds(1)

/** A user who has sent no audio for so long is forgotten. */
const knownFor = Duration.seconds(30)

/** Users of one query. With more, the ones that were read longest ago are next. */
const maxRead = 5_000

/** Endpoints of one query: more than all users of a node have that is not made for this. */
const maxFound = 10_000

export interface AudioEndpoint {
  readonly id: string
  /** None: it receives the audio of all users. */
  readonly uid: string | undefined
  readonly url: string
  readonly seconds: number
  readonly credentials: { readonly secrets: string | null; readonly sealed: Uint8Array | null }
}

export class AudioEndpoints extends Context.Service<
  AudioEndpoints,
  {
    /** None for the first second of a user. Called for each message. */
    readonly of: (uid: string) => ReadonlyArray<AudioEndpoint>
    readonly lengths: (uid: string) => ReadonlyArray<number>
  }
>()("spillway/Webhooks/Audio/AudioEndpoints") {
  static readonly layer = Layer.effect(
    AudioEndpoints,
    Effect.suspend(() => make)
  )
}

const Row = Schema.Struct({
  id: Schema.String,
  uid: Schema.NullOr(Schema.String),
  url: Schema.String,
  seconds: Schema.Int,
  secrets: Schema.NullOr(Schema.String),
  sealed: Schema.NullOr(Schema.Uint8Array)
})
const decode = Schema.decodeUnknownEffect(Schema.Array(Row))

interface User {
  /** Monotonic milliseconds of the last audio. */
  heardAt: number
  endpoints: ReadonlyArray<AudioEndpoint>
  lengths: ReadonlyArray<number>
}

const none: ReadonlyArray<never> = []

const make = Effect.gen(function* () {
  const db = yield* Db
  const clock = yield* Clock.Clock
  const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  /** The one that was read longest ago is first. As many users as captures at most, and those of the last 30 seconds. */
  const users = new Map<string, User>()
  let heardAt = now()

  const userOf = (uid: string): User => {
    const known = users.get(uid)
    if (known !== undefined) {
      known.heardAt = heardAt
      return known
    }
    const user = { heardAt, endpoints: none, lengths: none }
    users.set(uid, user)
    return user
  }

  const read = Effect.gen(function* () {
    heardAt = now()
    for (const [uid, user] of users) {
      if (heardAt - user.heardAt > Duration.toMillis(knownFor)) users.delete(uid)
    }
    const uids = [...users.keys()].slice(0, maxRead)
    if (uids.length === 0) return
    const rows = yield* db
      .read("AudioEndpoints.read", (sql) =>
        sql`
          select id::text as id, uid, url, audio_seconds as seconds, secrets, sealed from webhook_endpoints e
          where audio_seconds is not null and ${isActive(sql, sql`e`)} and (uid is null or uid = any(${uids}::text[]))
          order by id limit ${maxFound}`.pipe(Effect.flatMap(decode), Effect.catchTag("SchemaError", Effect.die))
      )
      .pipe(Effect.provideService(DbCaller, ingestCaller))
    const found = rows.map(({ id, sealed, seconds, secrets, uid, url }): AudioEndpoint => {
      return { id, uid: uid ?? undefined, url, seconds, credentials: { secrets, sealed } }
    })
    const ofAll = found.filter(({ uid }) => uid === undefined)
    const own = Map.groupBy(found, ({ uid }) => uid)
    for (const uid of uids) {
      const user = users.get(uid)
      if (user === undefined) continue
      const endpoints = [...(own.get(uid) ?? none), ...ofAll]
      user.endpoints = endpoints
      user.lengths = [...new Set(endpoints.map(({ seconds }) => seconds))]
      users.delete(uid)
      users.set(uid, user)
    }
  })

  yield* BackgroundLoop.every(
    readEvery,
    read,
    "the endpoints of live audio can't be read: those read before receive it"
  )

  return AudioEndpoints.of({
    of: (uid) => userOf(uid).endpoints,
    lengths: (uid) => userOf(uid).lengths
  })
})
