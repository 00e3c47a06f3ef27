/** The rows of purges. A finished row remains as the fence. */
import { Context, Duration, Effect, Layer, Option, Schema, SchemaGetter } from "effect"
import { SecureRandom } from "effect/crypto"
import type { SqlClient, Statement } from "effect/sql"
import * as Claims from "../Claims.ts"
import { Db, type DbError, intervalOf } from "../Db.ts"
import { Fence, type Target } from "../Recording.ts"
import { columns, type Counts, decode, noCounts, type Purge } from "./Purge.ts"

export interface Query {
  /** Undefined: all users. */
  readonly uid: string | undefined
  /** Only purges that were given up. */
  readonly isDead: boolean
  /** The last purge of the previous page. If it has no place in the order any more, the first page is returned. */
  readonly after: string | undefined
  readonly limit: number
}

/** A claimed row, with the token of its lease. */
export interface ClaimedPurge extends Target {
  readonly id: string
  readonly token: string
}

/** The claim's token is not the row's: the lease has ended and another node has claimed it, or the purge is cancelled. */
export class LeaseEnded extends Schema.TaggedError<LeaseEnded>()("LeaseEnded", { id: Schema.String }) {
  override get message() {
    return `the lease of purge ${this.id} has ended`
  }
}

/** Finished rows are removed after this time; a node that was down for longer would record again what its journal has. */
const retention = "365 days"

/** Rows that are removed at once. */
const pruned = 500

/** Rows are counted up to this number, so that a count costs the same whatever the backlog. */
const maxCounted = 10_000

export class PurgeRows extends Context.Service<
  PurgeRows,
  {
    /** One that is due, if there is one. */
    readonly claim: Effect.Effect<Option.Option<ClaimedPurge>, DbError>
    /** Creates a purge, or moves the due time of one that has not started, or retries a dead one. */
    request(target: Target, delay: Duration.Duration): Effect.Effect<Purge, DbError>
    /** As `request`, unless `isUnused` is false in the same transaction, while none creates a conversation of the user. */
    requestIf(
      target: Target,
      delay: Duration.Duration,
      isUnused: Effect.Effect<boolean, DbError>
    ): Effect.Effect<Option.Option<Purge>, DbError>
    unfinished(target: Target): Effect.Effect<Option.Option<Purge>, DbError>
    /** In order of user and conversation; dead ones in the order in which they were given up. `at`: the database's time. */
    list(query: Query): Effect.Effect<{ readonly at: Date; readonly purges: ReadonlyArray<Purge> }, DbError>
    /** The latest one that is done. */
    done(target: Target): Effect.Effect<Option.Option<Purge>, DbError>
    find(id: string): Effect.Effect<Option.Option<Purge>, DbError>
    /** False if it has started, or there is none. */
    cancel(id: string): Effect.Effect<boolean, DbError>
    /** From its first start on, the row is the fence. Returns how long ago that was. */
    start(purge: ClaimedPurge, expected: number): Effect.Effect<Duration.Duration, DbError | LeaseEnded>
    extend(purge: ClaimedPurge): Effect.Effect<void, DbError | LeaseEnded>
    /** Runs `work` and adds what it deletes to the counts, in one transaction. Without the lease, `work` does not run. */
    record<A, E>(
      purge: ClaimedPurge,
      work: Effect.Effect<readonly [A, Partial<Counts>], E>
    ): Effect.Effect<A, E | DbError | LeaseEnded>
    /** How many objects could not be removed. Does nothing without the lease. */
    setLeft(purge: ClaimedPurge, objects: number): Effect.Effect<void, DbError>
    /** Ends the claim after progress, which resets the attempts; due again `after` now. Does nothing without the lease. */
    postpone(purge: ClaimedPurge, after: Duration.Duration): Effect.Effect<void, DbError>
    complete(purge: ClaimedPurge): Effect.Effect<void, DbError | LeaseEnded>
    /** Ends the claim; due again after the backoff, or dead. */
    fail(purge: ClaimedPurge, error: string): Effect.Effect<"failed" | "dead", DbError | LeaseEnded>
    /** Removes a bounded number of rows that finished long ago. */
    readonly prune: Effect.Effect<void, DbError>
    /** Each counted to 10,000. */
    readonly backlog: Effect.Effect<{ readonly waiting: number; readonly dead: number }, DbError>
  }
>()("spillway/Purges/PurgeRows") {
  static readonly layer = Layer.effect(
    PurgeRows,
    Effect.suspend(() => make)
  )
}

const table: Claims.Table<Target> = {
  name: "purges",
  idType: "uuid",
  columns: ["uid", "conversation_id"],
  schema: Schema.Struct({ uid: Schema.String, conversation_id: Schema.NullOr(Schema.String) }).pipe(
    Schema.decodeTo(Schema.Struct({ uid: Schema.String, conversation: Schema.UndefinedOr(Schema.String) }), {
      decode: SchemaGetter.transform(({ conversation_id, uid }) => ({
        uid,
        conversation: conversation_id ?? undefined
      })),
      encode: SchemaGetter.transform(({ conversation, uid }) => ({ uid, conversation_id: conversation ?? null }))
    })
  ),
  completion: "finished_at = clock_timestamp(), left_objects = 0"
}

const decodeTime = Schema.decodeUnknownEffect(Schema.Tuple([Schema.Struct({ at: Schema.Date })]))

const firstOf = <E>(rows: Effect.Effect<ReadonlyArray<Purge>, E>) =>
  Effect.map(rows, (rows) => Option.fromUndefinedOr(rows[0]))

const ofUser = (sql: SqlClient.SqlClient, { uid }: Query) => (uid === undefined ? sql`true` : sql`uid = ${uid}`)

const unfinished = Effect.fnUntraced(function* (sql: SqlClient.SqlClient, query: Query) {
  const from = yield* sql<{ readonly uid: string; readonly conversation: string }>`
    select uid, coalesce(conversation_id, '') as conversation from purges where id = ${query.after ?? null}::uuid`
  const isAfter = from.map(
    ({ conversation, uid }) => sql`(uid, coalesce(conversation_id, '')) > (${uid}, ${conversation})`
  )
  return yield* sql`
    select ${columns(sql)} from purges
    where ${sql.and([sql`finished_at is null`, ofUser(sql, query), ...isAfter])}
    order by uid, coalesce(conversation_id, '') limit ${query.limit}`
})

const dead = Effect.fnUntraced(function* (sql: SqlClient.SqlClient, query: Query) {
  const from = yield* sql<{ readonly id: string; readonly at: string }>`
    select id::text as id, dead_at::text as at from purges where id = ${query.after ?? null}::uuid and dead_at is not null`
  const isAfter = from.map(({ at, id }) => sql`(dead_at, id) > (${at}::timestamptz, ${id}::uuid)`)
  return yield* sql`
    select ${columns(sql)} from purges
    where ${sql.and([sql`dead_at is not null`, ofUser(sql, query), ...isAfter])}
    order by purges.dead_at, purges.id limit ${query.limit}`
})

const make = Effect.gen(function* () {
  const db = yield* Db
  const claims = yield* Claims.make(table)

  const select = (operation: string, where: (sql: SqlClient.SqlClient) => Statement.Fragment) =>
    firstOf(
      db.read(operation, (sql) => Effect.flatMap(sql`select ${columns(sql)} from purges where ${where(sql)}`, decode))
    )
  const isOf = (sql: SqlClient.SqlClient, { conversation, uid }: Target) =>
    sql`uid = ${uid} and coalesce(conversation_id, '') = ${conversation ?? ""}`
  const isOwned = (sql: SqlClient.SqlClient, { id, token }: ClaimedPurge) =>
    sql`id = ${id}::uuid and token = ${token}::uuid`

  /** Fails unless a row was returned. */
  const owned = <A, E>({ id }: ClaimedPurge, rows: Effect.Effect<ReadonlyArray<A>, E>) =>
    Effect.flatMap(rows, ([row]) => (row === undefined ? new LeaseEnded({ id }) : Effect.succeed(row)))

  const record: PurgeRows["Service"]["record"] = (purge, work) =>
    db.transaction("PurgeRows.record", (sql) =>
      Effect.gen(function* () {
        yield* owned(purge, sql`select 1 from purges where ${isOwned(sql, purge)} for no key update`)
        const [result, counts] = yield* work
        const { bytes, chunks, conversations, keys, objects, tombstones } = { ...noCounts, ...counts }
        yield* sql`
          update purges
          set conversations = conversations + ${String(conversations)}::bigint, chunks = chunks + ${String(chunks)}::bigint,
              objects = objects + ${String(objects)}::bigint, bytes = bytes + ${String(bytes)}::bigint,
              tombstones = tombstones + ${String(tombstones)}::bigint, keys = keys + ${String(keys)}::bigint
          where id = ${purge.id}::uuid`
        return result
      })
    )

  const request: PurgeRows["Service"]["request"] = Effect.fn("PurgeRows.request")(function* (target, delay) {
    const id = SecureRandom.uuidV4Unsafe()
    const millis = Duration.toMillis(delay)
    const purge = yield* firstOf(
      db.writeIdempotent("PurgeRows.request", (sql) =>
        Effect.flatMap(
          sql`
            insert into purges as p (id, uid, conversation_id, due_at, started_at)
            select ${id}::uuid, ${target.uid}, ${target.conversation ?? null},
                   clock_timestamp() + ${`${millis} milliseconds`}::interval,
                   case when ${millis === 0} then clock_timestamp() end
            on conflict (uid, (coalesce(conversation_id, ''))) where finished_at is null do update
            set due_at = case when p.started_at is null or p.dead_at is not null then excluded.due_at else p.due_at end,
                token = case when p.started_at is null then null else p.token end,
                attempts = case when p.dead_at is null then p.attempts else 0 end,
                started_at = coalesce(p.started_at, excluded.started_at), dead_at = null
            returning ${columns(sql)}`,
          decode
        )
      )
    )
    return yield* Effect.orDie(Effect.fromOption(purge))
  })

  return PurgeRows.of({
    request,
    requestIf: Effect.fn("PurgeRows.requestIf")((target, delay, isUnused) =>
      db.transactionIdempotent("PurgeRows.requestIf", (sql) =>
        Effect.gen(function* () {
          yield* Fence.awaitCreations(sql, target.uid)
          return (yield* isUnused) ? Option.some(yield* request(target, delay)) : Option.none()
        })
      )
    ),
    claim: Effect.map(claims.claim(1), ({ rows: [row], token }) =>
      Option.map(Option.fromUndefinedOr(row), ({ columns, id }) => ({ id, token, ...columns }))
    ),
    unfinished: (target) => select("PurgeRows.unfinished", (sql) => sql`${isOf(sql, target)} and finished_at is null`),
    list: Effect.fn("PurgeRows.list")((query) =>
      db.read("PurgeRows.list", (sql) =>
        Effect.gen(function* () {
          const [{ at }] = yield* Effect.flatMap(sql`select clock_timestamp() as at`, decodeTime)
          return { at, purges: yield* Effect.flatMap(query.isDead ? dead(sql, query) : unfinished(sql, query), decode) }
        }).pipe(Effect.catchTag("SchemaError", Effect.die))
      )
    ),
    done: ({ conversation, uid }) =>
      select(
        "PurgeRows.done",
        (sql) => sql`
          uid = ${uid} and ${conversation === undefined ? sql`conversation_id is null` : sql`conversation_id = ${conversation}`}
          and finished_at is not null and started_at is not null
          order by finished_at desc limit 1`
      ),
    find: (id) => select("PurgeRows.find", (sql) => sql`id = ${id}::uuid`),
    cancel: Effect.fn("PurgeRows.cancel")(function* (id) {
      const rows = yield* db.writeIdempotent(
        "PurgeRows.cancel",
        (sql) => sql`
          update purges set finished_at = coalesce(finished_at, now()), due_at = null, token = null
          where id = ${id}::uuid and started_at is null returning 1`
      )
      return rows.length > 0
    }),
    start: Effect.fn("PurgeRows.start")(function* (purge, expected) {
      const rows = db.writeIdempotent(
        "PurgeRows.start",
        (sql) => sql<{ readonly millis: number }>`
          update purges
          set started_at = coalesce(started_at, clock_timestamp()), expected = greatest(expected, ${String(expected)}::bigint)
          where ${isOwned(sql, purge)}
          returning (extract(epoch from clock_timestamp() - started_at) * 1000)::float8 as millis`
      )
      return Duration.millis(Math.max(0, (yield* owned(purge, rows)).millis))
    }),
    extend: (purge) => Effect.asVoid(owned(purge, claims.extend(purge.token, [purge.id]))),
    record,
    setLeft: (purge, objects) =>
      db.writeIdempotent("PurgeRows.setLeft", (sql) =>
        Effect.asVoid(sql`update purges set left_objects = ${String(objects)}::bigint where ${isOwned(sql, purge)}`)
      ),
    postpone: (purge, after) =>
      db.writeIdempotent("PurgeRows.postpone", (sql) =>
        Effect.asVoid(sql`
          update purges
          set due_at = clock_timestamp() + ${intervalOf(after)}::interval, token = null, attempts = 0, last_error = null
          where ${isOwned(sql, purge)}`)
      ),
    complete: Effect.fn("PurgeRows.complete")(function* (purge) {
      if ((yield* claims.complete(purge.token, [purge.id])) === 0) return yield* new LeaseEnded({ id: purge.id })
    }),
    fail: Effect.fn("PurgeRows.fail")(function* ({ id, token }, error) {
      const { dead, retried } = yield* claims.fail(token, [{ id, error }])
      if (dead + retried === 0) return yield* new LeaseEnded({ id })
      return dead > 0 ? "dead" : "failed"
    }),
    prune: db.writeIdempotent("PurgeRows.prune", (sql) =>
      Effect.asVoid(sql`
        delete from purges where id in (
          select id from purges where finished_at < now() - ${retention}::interval order by finished_at, id limit ${pruned}
        )`)
    ),
    backlog: db
      .read(
        "PurgeRows.backlog",
        (sql) => sql<{ readonly waiting: number; readonly dead: number }>`
          select (select count(*)::int from (select from purges where due_at is not null limit ${maxCounted}) as d) as waiting,
                 (select count(*)::int from (select from purges where dead_at is not null limit ${maxCounted}) as d) as dead`
      )
      .pipe(Effect.map(([row]) => row ?? { waiting: 0, dead: 0 }))
  })
})
