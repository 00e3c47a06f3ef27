/** Rows of VODs on a real database, without the loops. */
import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { JobRows } from "../../../src/Vods/Jobs/JobRows.ts"
import { ListRows } from "../../../src/Vods/Lists/ListRows.ts"
import { SearchRows } from "../../../src/Vods/Lists/SearchRows.ts"
import { PlayRows } from "../../../src/Vods/Plays/PlayRows.ts"
import type { Status } from "../../../src/Vods/Vod.ts"
import { VodRows } from "../../../src/Vods/VodRows.ts"
import * as Postgres from "../../support/Postgres.ts"

export const layer = Layer.mergeAll(
  VodRows.layer,
  ListRows.layer,
  SearchRows.layer,
  PlayRows.layer,
  JobRows.layer
).pipe(Layer.provideMerge(Postgres.layer))

export const admin = { uid: "admin", isAdmin: true }
export const owner = (uid: string) => ({ uid, isAdmin: false })

export const stream = Effect.fnUntraced(function* (uid: string, slug: string) {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<{ readonly id: string }>`
    insert into streams (uid, slug, title) values (${uid}, ${slug}, ${`Live with ${uid}`}) returning id::text as id`
  return row?.id ?? ""
})

/** Broadcasts of a stream that have ended. Their conversations are `SLUG-N`. */
export const broadcasts = Effect.fnUntraced(function* (slug: string, numbers: ReadonlyArray<number>) {
  const sql = yield* SqlClient.SqlClient
  yield* sql`
    insert into broadcasts (stream_id, id, uid, conversation, ended_at)
    select s.id, n, s.uid, s.slug || '-' || n, now()
    from streams s, unnest(${numbers}::bigint[]) as n where slug = ${slug}`
})

interface Given {
  readonly uid?: string
  readonly status?: Status
  readonly title?: string
  readonly description?: string
  /** Minutes after an epoch; those with the same one are in order of their ids. */
  readonly minute?: number
  readonly duration?: number
}

let last = 0

/** Returns the id. */
export const vod = Effect.fnUntraced(function* (given: Given = {}) {
  const { description = "", duration = 60, minute = 0, status = "ready", title = "A title", uid = "u" } = given
  const sql = yield* SqlClient.SqlClient
  const number = ++last
  const [row] = yield* sql<{ readonly id: string }>`
    insert into vods (uid, stream_id, broadcast_id, conversation_id, status, title, description, duration, started_at, created_at)
    values (${uid}, 0, ${number}, ${`c${number}`}, ${status}, ${title}, ${description}, ${duration}::float8, now(),
            timestamptz '2026-01-01 00:00:00.123457Z' + ${minute}::int * interval '1 minute')
    returning id::text as id`
  return row?.id ?? ""
})

export const clear = SqlClient.SqlClient.use(
  (sql) => sql`truncate vods, vod_counts, vod_jobs, vod_turns, vod_days, vod_plays, broadcasts, streams cascade`
)
