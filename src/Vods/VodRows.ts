/** One VOD: read, changed, deleted and restored by who manages it. */
import { Context, Duration, Effect, Layer, Option, Schema } from "effect"
import type { SqlClient, SqlError, Statement } from "effect/sql"
import type { Manager } from "../Auth.ts"
import { Db, type DbError, intervalOf } from "../Db.ts"
import { Events } from "../Events.ts"
import type { RangeRequest } from "../Http.ts"
import type { Status, Vod } from "./Vod.ts"
import * as VodColumns from "./VodColumns.ts"
import * as VodEvents from "./VodEvents.ts"

/** Time in which a deleted VOD can be restored. */
const restorable = Duration.days(30)

/** VODs of one claim of deleted ones; the next one takes the rest. */
export const purgeBatch = 50

/** By then the purge of a claimed VOD's recording is requested. If not, its node was killed, and another one claims it. */
const purgeLease = Duration.minutes(10)

/** The VOD has another revision than the caller expects. */
export class VodChanged extends Schema.TaggedError<VodChanged>()("VodChanged", {
  id: Schema.String,
  revision: Schema.Int
}) {
  override get message() {
    return `The VOD ${this.id} has changed meanwhile: its ETag is "${this.revision}". Read it, and send the change again.`
  }
}

/** The VOD is deleted. */
export class VodDeleted extends Schema.TaggedError<VodDeleted>()("VodDeleted", { id: Schema.String }) {
  override get message() {
    return `The VOD ${this.id} is deleted. Restore it first.`
  }
}

const ClaimedVod = Schema.Struct({
  id: Schema.String,
  uid: Schema.String,
  conversation: Schema.String
})
export type ClaimedVod = typeof ClaimedVod.Type
const decodeClaimed = Schema.decodeUnknownEffect(Schema.Array(ClaimedVod))

export interface Changes {
  readonly title: string | undefined
  readonly description: string | undefined
}

export class VodRows extends Context.Service<
  VodRows,
  {
    /** Deleted ones, too, until they are purged. None if the manager has no such VOD. */
    find(by: Manager, id: string): Effect.Effect<Option.Option<Vod>, DbError>
    /** One that is ready and not deleted, of any user. */
    findReady(id: string): Effect.Effect<Option.Option<Vod>, DbError>
    /** What is undefined is kept. None as in `find`. */
    update(
      by: Manager,
      id: string,
      changes: Changes,
      isExpected: RangeRequest.IsExpected
    ): Effect.Effect<Option.Option<Vod>, DbError | VodChanged | VodDeleted>
    /** Has no effect on a deleted one. None as in `find`. */
    remove(
      by: Manager,
      id: string,
      isExpected: RangeRequest.IsExpected
    ): Effect.Effect<Option.Option<Vod>, DbError | VodChanged>
    /** Announces one that became ready meanwhile. Has no effect on one that is not deleted. None as in `find`, or while it is purged. */
    restore(by: Manager, id: string): Effect.Effect<Option.Option<Vod>, DbError>
    /** Deleted VODs whose time to be restored is over. From now on they can't be. */
    readonly claimDeleted: Effect.Effect<ReadonlyArray<ClaimedVod>, DbError>
    /**
     * Whether nothing else needs the recording of a claimed one. A capture client can choose one conversation for several
     * broadcasts: it is needed by VODs that are not claimed, and by broadcasts that are live or have no VOD yet.
     */
    isUnused(vod: ClaimedVod): Effect.Effect<boolean, DbError>
    /** Removes a claimed one, without its recording. */
    forget(id: string): Effect.Effect<void, DbError>
  }
>()("spillway/Vods/VodRows") {
  static readonly layer = Layer.effect(
    VodRows,
    Effect.suspend(() => make)
  ).pipe(Layer.provide(Events.layer))
}

type Sql = SqlClient.SqlClient

const select = (sql: Sql, where: Statement.Fragment) =>
  Effect.map(sql<VodColumns.Row>`select ${VodColumns.columns(sql)} from vods v where ${where} limit 1`, ([row]) =>
    Option.map(Option.fromUndefinedOr(row), VodColumns.vodOf)
  )

const byId = (sql: Sql, id: string) => select(sql, sql`v.id = ${id}::bigint`)

/** A condition on `vods`: the manager's VOD with this id. */
function isManaged(sql: Sql, { isAdmin, uid }: Manager, id: string): Statement.Fragment {
  return isAdmin ? sql`id = ${id}::bigint` : sql`id = ${id}::bigint and uid = ${uid}`
}

interface Locked {
  readonly revision: number
  readonly status: Status
  readonly isDeleted: boolean
  readonly isPurging: boolean
  readonly isUnannounced: boolean
}

/** Locks the row of a VOD until the end of the transaction. None if the manager has no such VOD. */
export function lock(sql: Sql, by: Manager, id: string): Effect.Effect<Locked | undefined, SqlError.SqlError> {
  return Effect.map(
    sql<Locked>`
      select revision, status, deleted_at is not null as "isDeleted", is_purging as "isPurging",
             is_unannounced as "isUnannounced" from vods
      where ${isManaged(sql, by, id)} for no key update`,
    ([row]) => row
  )
}

const make = Effect.gen(function* () {
  const db = yield* Db
  const events = yield* Events

  return VodRows.of({
    find: Effect.fn("VodRows.find")((by, id) => db.read("VodRows.find", (sql) => select(sql, isManaged(sql, by, id)))),
    findReady: Effect.fn("VodRows.findReady")((id) =>
      db.read("VodRows.findReady", (sql) => select(sql, sql`v.id = ${id}::bigint and v.state = 'ready'`))
    ),
    update: Effect.fn("VodRows.update")((by, id, { description, title }, isExpected) =>
      db.transaction(
        "VodRows.update",
        Effect.fnUntraced(function* (sql) {
          const row = yield* lock(sql, by, id)
          if (row === undefined) return Option.none()
          if (row.isDeleted) return yield* new VodDeleted({ id })
          if (!isExpected(row.revision)) return yield* new VodChanged({ id, revision: row.revision })
          yield* sql`
            update vods
            set title = coalesce(${title ?? null}::text, title), revision = revision + 1,
                description = coalesce(${description ?? null}::text, description)
            where id = ${id}::bigint`
          return yield* byId(sql, id)
        })
      )
    ),
    remove: Effect.fn("VodRows.remove")((by, id, isExpected) =>
      db.transactionIdempotent(
        "VodRows.remove",
        Effect.fnUntraced(function* (sql) {
          const row = yield* lock(sql, by, id)
          if (row === undefined) return Option.none()
          if (row.isDeleted) return yield* byId(sql, id)
          if (!isExpected(row.revision)) return yield* new VodChanged({ id, revision: row.revision })
          yield* sql`
            update vods
            set deleted_at = now(), purge_at = now() + ${intervalOf(restorable)}::interval,
                revision = revision + 1
            where id = ${id}::bigint`
          return yield* byId(sql, id)
        })
      )
    ),
    restore: Effect.fn("VodRows.restore")((by, id) =>
      db.transactionIdempotent(
        "VodRows.restore",
        Effect.fnUntraced(function* (sql) {
          const row = yield* lock(sql, by, id)
          if (row === undefined || row.isPurging) return Option.none()
          if (!row.isDeleted) return yield* byId(sql, id)
          yield* sql`
            update vods set deleted_at = null, purge_at = null, is_unannounced = false, revision = revision + 1
            where id = ${id}::bigint`
          const vod = yield* byId(sql, id)
          if (row.isUnannounced && Option.isSome(vod)) yield* events.append(sql, [yield* VodEvents.ready(vod.value)])
          return vod
        })
      )
    ),
    claimDeleted: db.write("VodRows.claimDeleted", (sql) =>
      sql`
        update vods set is_purging = true, purge_at = now() + ${intervalOf(purgeLease)}::interval
        where id = any(array(
          select id from vods where purge_at <= now() order by purge_at, id limit ${purgeBatch} for no key update skip locked
        ))
        returning id::text as id, uid, conversation_id as conversation`.pipe(
        Effect.flatMap(decodeClaimed),
        Effect.catchTag("SchemaError", Effect.die)
      )
    ),
    isUnused: ({ conversation, id, uid }) =>
      db
        .read(
          "VodRows.isUnused",
          (sql) => sql<{ readonly isUnused: boolean }>`
            select not exists (
              select from vods
              where uid = ${uid} and conversation_id = ${conversation} and id <> ${id}::bigint and not is_purging
            ) and not exists (
              select from broadcasts where uid = ${uid} and conversation = ${conversation} and not has_vod
            ) as "isUnused" limit 1`
        )
        .pipe(Effect.map(([row]) => row?.isUnused === true)),
    forget: (id) =>
      db.writeIdempotent("VodRows.forget", (sql) =>
        Effect.asVoid(sql`delete from vods where id = ${id}::bigint and is_purging`)
      )
  })
})
