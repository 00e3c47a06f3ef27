/** The jobs that prepare VODs, as rows. Users take turns at them. */
import { Context, Duration, Effect, Layer, Option, Schema } from "effect"
import type { SqlClient, Statement } from "effect/sql"
import type { Manager } from "../../Auth.ts"
import { Db, type DbError, intervalOf } from "../../Db.ts"
import * as Events from "../../Events.ts"
import * as FairClaims from "../../FairClaims.ts"
import { Fence } from "../../Recording.ts"
import type { FailureReason, Format, Vod } from "../Vod.ts"
import * as VodColumns from "../VodColumns.ts"
import * as VodEvents from "../VodEvents.ts"
import { lock } from "../VodRows.ts"

/** Broadcasts whose VODs one statement creates, and dead jobs that it ends. */
export const batch = 100

/** After the end of a broadcast, for the node that recorded it to seal its last chunk. */
const sealTime = Duration.seconds(2)

const Columns = Schema.Struct({
  vod: Schema.String,
  conversation: Schema.String,
  isRequested: Schema.Boolean,
  /** Since the job began, or was retried by its user. */
  seconds: Schema.Finite,
  /** Since the merge was requested; before that, as `seconds`. */
  requestedSeconds: Schema.Finite,
  /** Unix second at which the recorded audio of the broadcast ends, stored or not. */
  audioEnd: Schema.NullOr(Schema.Finite)
})

const jobs: FairClaims.Jobs<typeof Columns.Type> = {
  name: "vod_jobs",
  turns: "vod_turns",
  columns: (sql) => sql`
    vod_id::text as vod, conversation_id as conversation, is_requested as "isRequested",
    extract(epoch from now() - begun_at)::float8 as seconds,
    extract(epoch from now() - coalesce(requested_at, begun_at))::float8 as "requestedSeconds",
    (select audio_end from vods v join broadcasts b on b.stream_id = v.stream_id and b.id = v.broadcast_id
     where v.id = vod_id) as "audioEnd"`,
  schema: Columns,
  ended: "dead_at",
  lapsed: { error: "the node that prepared the VOD has ended or was cut off" }
}

export interface ClaimedJob extends FairClaims.Claimed, Schema.Schema.Type<typeof Columns> {}

/** The VOD is not failed. */
export class VodNotFailed extends Schema.TaggedError<VodNotFailed>()("VodNotFailed", {
  id: Schema.String,
  status: Schema.String
}) {
  override get message() {
    return `The VOD ${this.id} is ${this.status}. Only one that has failed can be prepared again.`
  }
}

/** `hasEnded`: a broadcast has ended and has no VOD. `hasDead`: a job is dead. */
export interface Unsettled {
  readonly hasEnded: boolean
  readonly hasDead: boolean
}

export class JobRows extends Context.Service<
  JobRows,
  FairClaims.FairClaims<typeof Columns.Type> & {
    /** Whether `create` and `failDead` have something to do, in one statement outside of a transaction. */
    readonly unsettled: Effect.Effect<Unsettled, DbError>
    /** Creates the VODs of broadcasts that have ended, one each, with their jobs. Returns how many broadcasts it has seen. */
    readonly create: Effect.Effect<number, DbError>
    /** The VOD is processing from now on. */
    begin(job: ClaimedJob): Effect.Effect<void, DbError>
    /** The merge of its audio files was requested: due again after a pause. */
    requested(job: ClaimedJob, after: Duration.Duration): Effect.Effect<void, DbError>
    /** The VOD is ready, and its event is appended. Ends the job. Fails without the lease. */
    complete(
      job: ClaimedJob,
      found: { readonly duration: number; readonly format: Format }
    ): Effect.Effect<void, DbError | FairClaims.LeaseEnded>
    /** The VOD has failed. Ends the job. Fails without the lease. */
    abandon(job: ClaimedJob, reason: FailureReason): Effect.Effect<void, DbError | FairClaims.LeaseEnded>
    /** VODs whose jobs are dead have failed. Returns how many, a bounded number. */
    readonly failDead: Effect.Effect<number, DbError>
    /** The VOD is pending again. None if the manager has no such VOD. */
    retry(by: Manager, id: string): Effect.Effect<Option.Option<Vod>, DbError | VodNotFailed>
  }
>()("spillway/Vods/Jobs/JobRows") {
  static readonly layer = Layer.effect(
    JobRows,
    Effect.suspend(() => make)
  ).pipe(Layer.provide(Events.Events.layer))
}

type Sql = SqlClient.SqlClient

const takeTurns = (sql: Sql, uids: ReadonlyArray<string>, after: Duration.Duration) =>
  Effect.forEach([...new Set(uids)].toSorted(), (uid) => FairClaims.takeTurn(sql, jobs, uid, after), { discard: true })

const enqueue = (sql: Sql, vods: ReadonlyArray<string>, after: Duration.Duration) => sql`
  insert into vod_jobs (vod_id, uid, conversation_id, due_at)
  select id, uid, conversation_id, now() + ${intervalOf(after)}::interval from vods
  where id = any(${vods}::bigint[]) order by id
  on conflict (vod_id) do nothing`

interface Ended {
  readonly stream: string
  readonly broadcast: string
  readonly uid: string
}

/** Locks a batch of broadcasts that have ended and have no VOD. Those that another node has locked are its own. */
export function selectEnded(sql: Sql): Statement.Statement<Ended> {
  return sql<Ended>`
    select stream_id::text as stream, id::text as broadcast, uid from broadcasts
    where ended_at is not null and not has_vod
    order by ended_at, stream_id, id limit ${batch} for no key update skip locked`
}

/** Those whose recording is not purged. */
const insert = (sql: Sql, ended: ReadonlyArray<Ended>) => sql<{ readonly id: string; readonly uid: string }>`
  insert into vods (uid, stream_id, broadcast_id, conversation_id, title, started_at)
  select b.uid, b.stream_id, b.id, b.conversation, left(coalesce(nullif(s.title, ''), s.slug), 255), b.started_at
  from unnest(${ended.map(({ stream }) => stream)}::bigint[], ${ended.map(({ broadcast }) => broadcast)}::bigint[]) as e(stream, id)
  join broadcasts b on b.stream_id = e.stream and b.id = e.id join streams s on s.id = b.stream_id
  where not ${Fence.isPurged(
    sql,
    { uid: sql`b.uid`, conversation: sql`b.conversation` },
    sql`extract(epoch from b.started_at) * 1000`
  )}
  order by b.ended_at, b.stream_id, b.id
  on conflict (stream_id, broadcast_id) do nothing
  returning id::text as id, uid`

const make = Effect.gen(function* () {
  const db = yield* Db
  const events = yield* Events.Events
  const turns = yield* FairClaims.make(jobs)

  /** Ends the job of a claim and changes its VOD, unless that has ended otherwise. */
  const end = Effect.fnUntraced(function* (sql: Sql, { id, token, vod }: ClaimedJob) {
    const owned = yield* sql`delete from vod_jobs where ${FairClaims.isOwned(sql, { id, token })} returning 1`
    if (owned.length === 0) return yield* new FairClaims.LeaseEnded({ table: jobs.name, id })
    return sql`id = ${vod}::bigint and status in ('pending', 'processing')`
  })

  return JobRows.of({
    ...turns,
    unsettled: db.read("JobRows.unsettled", (sql) =>
      Effect.map(
        sql<{ readonly [Key in keyof Unsettled]: true | null }>`
          select (select true from broadcasts where ended_at is not null and not has_vod
                  order by ended_at, stream_id, id limit 1) as "hasEnded",
                 (select true from vod_jobs where dead_at is not null order by dead_at, id limit 1) as "hasDead"`,
        ([row]) => ({ hasEnded: row?.hasEnded === true, hasDead: row?.hasDead === true })
      )
    ),
    create: db.transactionIdempotent("JobRows.create", (sql) =>
      Effect.gen(function* () {
        const ended = yield* selectEnded(sql)
        if (ended.length === 0) return 0
        yield* Fence.lockCreations(
          sql,
          ended.map(({ uid }) => uid)
        )
        const created = yield* insert(sql, ended)
        yield* enqueue(
          sql,
          created.map(({ id }) => id),
          sealTime
        )
        yield* takeTurns(
          sql,
          created.map(({ uid }) => uid),
          sealTime
        )
        yield* sql`
          update broadcasts set has_vod = true
          from unnest(${ended.map(({ stream }) => stream)}::bigint[], ${ended.map(({ broadcast }) => broadcast)}::bigint[]) as e(stream, broadcast)
          where stream_id = e.stream and id = e.broadcast`
        return ended.length
      })
    ),
    begin: ({ vod }) =>
      db.writeIdempotent("JobRows.begin", (sql) =>
        Effect.asVoid(sql`update vods set status = 'processing' where id = ${vod}::bigint and status = 'pending'`)
      ),
    requested: ({ id, token }, after) =>
      db.writeIdempotent("JobRows.requested", (sql) =>
        Effect.asVoid(sql`
          update vod_jobs set is_requested = true, requested_at = now(), token = null, due_at = now() + ${intervalOf(after)}::interval
          where ${FairClaims.isOwned(sql, { id, token })}`)
      ),
    complete: Effect.fn("JobRows.complete")((job, { duration, format }) =>
      db.transaction("JobRows.complete", (sql) =>
        Effect.gen(function* () {
          const isUnfinished = yield* end(sql, job)
          const [row] = yield* sql<VodColumns.Row>`
            update vods v
            set status = 'ready', reason = null, duration = ${String(duration)}::float8, format = ${format},
                is_unannounced = deleted_at is not null
            where ${isUnfinished} returning ${VodColumns.columns(sql)}`
          const vod = row === undefined ? undefined : VodColumns.vodOf(row)
          // One that was deleted meanwhile is announced when it is restored.
          if (vod !== undefined && vod.deletedAt === undefined) yield* events.append(sql, [yield* VodEvents.ready(vod)])
        })
      )
    ),
    abandon: Effect.fn("JobRows.abandon")((job, reason) =>
      db.transaction("JobRows.abandon", (sql) =>
        Effect.gen(function* () {
          const isUnfinished = yield* end(sql, job)
          yield* sql`update vods set status = 'failed', reason = ${reason} where ${isUnfinished}`
        })
      )
    ),
    failDead: db.writeIdempotent("JobRows.failDead", (sql) =>
      Effect.map(
        sql`
          with dead as (
            delete from vod_jobs where id in (
              select id from vod_jobs where dead_at is not null order by dead_at, id limit ${batch} for update skip locked
            ) returning vod_id
          )
          update vods set status = 'failed', reason = 'internal'
          where id in (select vod_id from dead) and status in ('pending', 'processing') returning 1`,
        ({ length }) => length
      )
    ),
    retry: Effect.fn("JobRows.retry")((by, id) =>
      db.transaction(
        "JobRows.retry",
        Effect.fnUntraced(function* (sql) {
          const locked = yield* lock(sql, by, id)
          if (locked === undefined) return Option.none()
          if (locked.status !== "failed") return yield* new VodNotFailed({ id, status: locked.status })
          const [row] = yield* sql<VodColumns.Row>`
            update vods v set status = 'pending', reason = null where id = ${id}::bigint
            returning ${VodColumns.columns(sql)}`
          yield* enqueue(sql, [id], Duration.zero)
          if (row !== undefined) yield* FairClaims.takeTurn(sql, jobs, row.uid)
          return Option.map(Option.fromUndefinedOr(row), VodColumns.vodOf)
        })
      )
    )
  })
})
