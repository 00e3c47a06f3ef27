/**
 * Which conversation an app of a user fed last: a socket that sends audio before it selects a conversation continues that one.
 * omi's backend does not select it again after a reconnect.
 */
import { Clock, Context, Duration, Effect, Layer, Option, Queue, Schema } from "effect"
import * as BackgroundLoop from "../BackgroundLoop.ts"
import { BoundedMap } from "../BoundedMap.ts"
import { Db, intervalOf } from "../Db.ts"

/** How long a conversation is continued after its last audio (omi's backend reconnects within minutes). */
const recentFor = Duration.minutes(10)

/** Delay of a row, in which conversations of several sockets share a statement. */
const gatheredFor = Duration.millis(100)

const retryAfter = Duration.seconds(5)

const pruneEvery = Duration.minutes(1)

/** Rows that are removed at once. */
const pruned = 500

/** Rows in one statement; the rest follow in the next ones. */
const maxRows = 500

/** Conversations that are known without the database. At the bound the one that was fed longest ago is forgotten. */
const maxKnown = 10_000

/** A user and the kind of the app. */
export interface Source {
  readonly uid: string
  readonly clientKind: string
}

interface Fed extends Source {
  readonly conversation: string
  /** Monotonic milliseconds. */
  readonly at: number
}

export class RecentConversations extends Context.Service<
  RecentConversations,
  {
    /** The source feeds the conversation now; called again every minute while it does. */
    readonly note: (source: Source, conversation: string) => void
    /** The conversation that the source fed in the last ten minutes; without the database, on this node. */
    find(source: Source): Effect.Effect<Option.Option<string>>
  }
>()("spillway/Pusher/RecentConversations") {
  static readonly layer = Layer.effect(
    RecentConversations,
    Effect.suspend(() => make)
  )
}

const decode = Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ conversation: Schema.String })))

const make = Effect.gen(function* () {
  const db = yield* Db
  const clock = yield* Clock.Clock
  const known = new BoundedMap<Fed>(maxKnown)
  const unwritten = new BoundedMap<Fed>(maxKnown)
  const noted = yield* Queue.sliding<void>(1)
  const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  const keyOf = ({ clientKind, uid }: Source) => `${uid} ${clientKind}`

  const write = Effect.fnUntraced(function* (rows: ReadonlyArray<Fed>) {
    yield* db.writeIdempotent(
      "RecentConversations.write",
      (sql) => sql`
        INSERT INTO recent_conversations (uid, client_kind, conversation_id, fed_at)
        SELECT uid, client_kind, conversation_id, now() - age * interval '1 millisecond' FROM unnest(
          ${rows.map(({ uid }) => uid)}::text[], ${rows.map(({ clientKind }) => clientKind)}::text[],
          ${rows.map(({ conversation }) => conversation)}::text[], ${rows.map(({ at }) => String(now() - at))}::float8[]
        ) AS f(uid, client_kind, conversation_id, age)
        ORDER BY uid, client_kind
        ON CONFLICT (uid, client_kind) DO UPDATE
        SET conversation_id = excluded.conversation_id, fed_at = excluded.fed_at
        WHERE recent_conversations.fed_at <= excluded.fed_at`
    )
    for (const row of rows) if (unwritten.get(keyOf(row)) === row) unwritten.delete(keyOf(row))
  })

  const flush = Effect.suspend(() => write([...unwritten.values].slice(0, maxRows)))

  yield* Effect.addFinalizer(() => Effect.ignore(Effect.timeout(flush, Duration.seconds(1))))
  yield* BackgroundLoop.fork(
    Effect.gen(function* () {
      if (unwritten.size === 0) yield* Queue.take(noted)
      yield* flush
      return gatheredFor
    }),
    { failed: "the latest conversations of apps could not be written", retryAfter }
  )
  const prune = db.writeIdempotent(
    "RecentConversations.prune",
    (sql) => sql`
      DELETE FROM recent_conversations WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM recent_conversations
        WHERE fed_at < now() - ${intervalOf(recentFor)}::interval ORDER BY fed_at LIMIT ${pruned}
      ))`
  )
  yield* BackgroundLoop.every(pruneEvery, prune, "old conversations of apps could not be forgotten")

  return RecentConversations.of({
    note: (source, conversation) => {
      const key = keyOf(source)
      const fed = { ...source, conversation, at: now() }
      known.set(key, fed)
      unwritten.set(key, fed)
      Queue.offerUnsafe(noted, undefined)
    },
    find: Effect.fnUntraced(function* (source) {
      const { clientKind, uid } = source
      const own = known.get(keyOf(source))
      const ofNode = own !== undefined && now() - own.at < Duration.toMillis(recentFor) ? own.conversation : undefined
      const rows = yield* db
        .read("RecentConversations.find", (sql) =>
          sql`
            SELECT conversation_id AS conversation FROM recent_conversations
            WHERE uid = ${uid} AND client_kind = ${clientKind}
              AND fed_at > now() - ${intervalOf(recentFor)}::interval`.pipe(
            Effect.flatMap(decode),
            Effect.catchTag("SchemaError", Effect.die)
          )
        )
        .pipe(Effect.option)
      if (Option.isNone(rows)) return Option.fromUndefinedOr(ofNode)
      // What this node has not written yet is later than the row.
      return Option.fromUndefinedOr(unwritten.get(keyOf(source))?.conversation ?? rows.value[0]?.conversation)
    })
  })
})
