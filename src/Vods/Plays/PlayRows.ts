/** What was played of VODs: sessions of the last days, and sums by day. */
import { Context, Effect, Layer, Schema } from "effect"
import type { SqlClient, Statement } from "effect/sql"
import { Db, type DbError } from "../../Db.ts"
import type { Vod } from "../Vod.ts"
import * as Analytics from "./Analytics.ts"

/** Sessions of a VOD and a day. Further ones are not counted. */
const maxSessions = 10_000

/** Days that are kept and reported, today included. */
const keptDays = 30

/** Days after which a session that reports again is another view. */
const sessionDays = 2

/** Rows that are removed at once. */
const pruned = 1_000

/** A session that has heard this part of a VOD has completed it. */
const completion = 0.9

type Recording = Pick<Vod, "uid" | "conversation">

export interface Play {
  /** A random id of the client, for one playing of a VOD. */
  readonly session: string
  readonly listener: string
  /** Heard so far in the session, in seconds. */
  readonly seconds: number
}

/** `counted`: a new session. `updated`: a known one. `full`: the bound of the day is reached. */
export type Outcome = "counted" | "updated" | "full"

export class PlayRows extends Context.Service<
  PlayRows,
  {
    /** A report that is repeated, or of less than the one before, has no effect. */
    record(vod: Recording & { readonly duration: number }, play: Play): Effect.Effect<Outcome, DbError>
    /** Of the last 30 days. */
    analytics(vod: Recording): Effect.Effect<Analytics.Analytics, DbError>
    /** Removes a bounded number of old rows. True if there may be more. */
    readonly prune: Effect.Effect<boolean, DbError>
  }
>()("spillway/Vods/Plays/PlayRows") {
  static readonly layer = Layer.effect(
    PlayRows,
    Effect.suspend(() => make)
  )
}

const decodeDays = Schema.decodeUnknownEffect(Schema.Array(Analytics.Day))
const decodeToday = Schema.decodeUnknownEffect(Schema.Tuple([Schema.Struct({ today: Schema.String })]))

type Sql = SqlClient.SqlClient

const today = (sql: Sql) => sql`(now() at time zone 'utc')::date`

const ofVod = (sql: Sql, { conversation, uid }: Recording) => sql`uid = ${uid} and conversation_id = ${conversation}`

/** The last days with plays, oldest first. */
export function selectDays(sql: Sql, vod: Recording): Statement.Statement<object> {
  return sql`
    select day::text as day, views, completed, seconds, listeners from vod_days
    where ${ofVod(sql, vod)} and day > ${today(sql)} - ${keptDays}::int order by vod_days.day limit ${keptDays}`
}

const make = Effect.gen(function* () {
  const db = yield* Db

  const record = Effect.fnUntraced(function* (
    sql: Sql,
    vod: Recording & { readonly duration: number },
    { listener, seconds, session }: Play
  ) {
    const heard = Math.min(seconds, vod.duration)
    const isSession = sql`${ofVod(sql, vod)} and session = ${session}`
    const [known] = yield* sql<{ readonly day: string }>`
      select day::text as day from vod_plays where ${isSession}`
    const day = known === undefined ? today(sql) : sql`${known.day}::date`
    // The lock of the day's row is always the first.
    const [sums] = yield* sql<{ readonly views: number }>`
      insert into vod_days as d (uid, conversation_id, day) values (${vod.uid}, ${vod.conversation}, ${day})
      on conflict (uid, conversation_id, day) do update set views = d.views returning views`
    const [before] = yield* sql<{ readonly seconds: number }>`
      select seconds from vod_plays where ${isSession} for no key update`
    if (before === undefined && (sums?.views ?? 0) >= maxSessions) return "full"
    const most = Math.max(before?.seconds ?? 0, heard)
    const end = vod.duration * completion
    const isCompleted = most >= end && (before === undefined || before.seconds < end)
    yield* sql`
      insert into vod_plays as p (uid, conversation_id, session, day, seconds)
      values (${vod.uid}, ${vod.conversation}, ${session}, ${day}, ${String(most)}::float8)
      on conflict (uid, conversation_id, session) do update set seconds = excluded.seconds`
    const { rank, register } = Analytics.registerOf(`${vod.uid}/${vod.conversation}/${listener}`)
    yield* sql`
      update vod_days
      set views = views + ${before === undefined ? 1 : 0}, completed = completed + ${isCompleted ? 1 : 0},
          seconds = seconds + ${String(most - (before?.seconds ?? 0))}::float8,
          listeners = case when get_byte(listeners, ${register}) < ${rank}
            then set_byte(listeners, ${register}, ${rank}) else listeners end
      where ${ofVod(sql, vod)} and day = ${day}`
    return before === undefined ? "counted" : "updated"
  })

  return PlayRows.of({
    record: Effect.fn("PlayRows.record")((vod, play) =>
      db.transactionIdempotent("PlayRows.record", (sql) => record(sql, vod, play))
    ),
    analytics: Effect.fn("PlayRows.analytics")((vod) =>
      db.read("PlayRows.analytics", (sql) =>
        Effect.gen(function* () {
          const [now] = yield* Effect.flatMap(sql`select ${today(sql)}::text as today`, decodeToday)
          const days = yield* Effect.flatMap(selectDays(sql, vod), decodeDays)
          return Analytics.of(now.today, keptDays, days)
        }).pipe(Effect.catchTag("SchemaError", Effect.die))
      )
    ),
    prune: db.writeIdempotent("PlayRows.prune", (sql) =>
      Effect.gen(function* () {
        const plays = yield* sql`
          delete from vod_plays where ctid = any(array(
            select ctid from vod_plays where day < ${today(sql)} - ${sessionDays}::int order by day limit ${pruned}
          )) returning 1`
        const days = yield* sql`
          delete from vod_days where ctid = any(array(
            select ctid from vod_days where day <= ${today(sql)} - ${keptDays}::int order by day limit ${pruned}
          )) returning 1`
        return Math.max(plays.length, days.length) === pruned
      })
    )
  })
})
