/** `src/Vods`: the plans of its statements. No list, search or job reads or sorts more than its page. */
import { assert, layer } from "@effect/vitest"
import { Duration, Effect, Option } from "effect"
import { SqlClient } from "effect/sql"
import { JobRows } from "../../src/Vods/Jobs/JobRows.ts"
import { ListRows } from "../../src/Vods/Lists/ListRows.ts"
import { SearchRows } from "../../src/Vods/Lists/SearchRows.ts"
import { PlayRows } from "../../src/Vods/Plays/PlayRows.ts"
import { VodRows } from "../../src/Vods/VodRows.ts"
import { problemsOf, statementsOf } from "../support/Plans.ts"
import { fill, pretend } from "./support/Many.ts"
import * as World from "./support/World.ts"

const filled = 1_000_000

/** The fill takes ten seconds on a quiet machine, and minutes among other tests on a busy one. */
const fillTimeout = 600_000

const limit = 101

const checked = Effect.fnUntraced(function* <A, E, R>(work: Effect.Effect<A, E, R>, most: number, statements = 1) {
  const run = yield* statementsOf(work)
  assert.isAtLeast(run.length, statements)
  for (const statement of run) assert.deepStrictEqual(yield* problemsOf(statement, most), [])
})

const filling = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* fill(filled)
  yield* sql`insert into streams (uid, slug, title) select 'big', 's' || n, 'Live' from generate_series(1, 1000) as n`
  yield* sql`
    insert into broadcasts (stream_id, id, uid, conversation, ended_at, has_vod)
    select s.id, n, 'big', 'b' || n, now(), n > 300 from streams s, generate_series(1, 20000) as n where slug = 's7'`
  yield* sql`
    insert into vod_jobs (vod_id, uid, conversation_id, due_at)
    select n, 'u' || n % 100, 'c' || n, now() + interval '1 hour' from generate_series(1, 5000) as n`
  yield* sql`update vod_jobs set due_at = null, dead_at = now() where id <= 300`
  yield* sql`
    insert into vod_plays (uid, conversation_id, session, day, seconds)
    select 'big', 'c' || n % 10, 's' || n, now()::date, 1 from generate_series(1, 20000) as n`
  yield* sql`
    insert into vod_days (uid, conversation_id, day)
    select 'big', 'c' || n / 30, now()::date - n % 30 from generate_series(1, 3000) as n`
  yield* sql`analyze broadcasts, vod_jobs, vod_plays, vod_days, streams`
  yield* pretend(["broadcasts", "vod_jobs", "vod_plays"], 1_000_000)
})

layer(World.layer, { excludeTestServices: true })("With a million VODs", (it) => {
  it.effect(
    "a page of a list reads what it returns, wherever it is",
    () =>
      Effect.gen(function* () {
        yield* filling
        const lists = yield* ListRows
        const middle = "1500000000000-500000"
        for (const owner of [undefined, "big", "u7", "none"])
          for (const state of [undefined, "ready", "pending", "failed", "deleted"] as const) {
            yield* checked(lists.page({ owner, state }, { skipped: 0 }, limit), limit)
            yield* checked(lists.page({ owner, state }, { after: middle }, limit), limit)
          }
        yield* checked(lists.page({ owner: "big", state: undefined }, { skipped: 9_900 }, limit), 10_001)
        yield* checked(lists.ofStream(5, { after: undefined, limit }), limit)
        yield* checked(lists.ofStream(5, { after: middle, limit }), limit)
      }),
    fillTimeout
  )

  it.effect("a search reads a bounded number, whether its words are rare, frequent or in no VOD", () =>
    Effect.gen(function* () {
      const search = yield* SearchRows
      for (const owner of [undefined, "big", "u7", "none"])
        for (const words of [["rare"], ["often"], ["talk", "99"], ["nowhere"], ["1234"]])
          yield* checked(search.page({ owner, state: undefined }, words, { after: undefined, limit: 100 }), 2_000)
    })
  )

  it.effect("one VOD, its changes, plays and analytics read only its own rows", () =>
    Effect.gen(function* () {
      const [rows, plays] = [yield* VodRows, yield* PlayRows]
      const vod = { uid: "big", conversation: "c2", duration: 60 }
      const changes = { title: "New", description: undefined }
      yield* checked(rows.find(World.owner("big"), "500"), 1)
      yield* checked(rows.findReady("501"), 1)
      yield* checked(
        rows.update(World.admin, "502", changes, () => true),
        2,
        3
      )
      yield* checked(
        rows.remove(World.admin, "504", () => true),
        2,
        3
      )
      yield* checked(rows.restore(World.admin, "504"), 2, 3)
      yield* checked(plays.record(vod, { session: "s2", listener: "l", seconds: 5 }), 2, 4)
      yield* checked(plays.record(vod, { session: "new", listener: "l", seconds: 5 }), 2, 4)
      yield* checked(plays.analytics(vod), 30, 2)
      yield* checked(plays.prune, 1_000, 2)
      yield* checked(rows.claimDeleted, 100)
      yield* checked(rows.forget("505"), 1)
    })
  )

  it.effect("jobs and the search for ended broadcasts read a batch", () =>
    Effect.gen(function* () {
      const jobs = yield* JobRows
      const sql = yield* SqlClient.SqlClient
      yield* sql`update vod_jobs set due_at = now() where id between 400 and 410`
      yield* sql`insert into vod_turns (uid, due_at) select distinct uid, now() from vod_jobs where due_at <= now()`
      yield* checked(jobs.create, 400, 5)
      yield* checked(jobs.failDead, 400)
      const claimed = Option.getOrUndefined(yield* jobs.claim)
      const job = claimed?.job ?? assert.fail("none is due")
      yield* checked(jobs.begin(job), 2)
      yield* checked(jobs.postpone(job, Duration.zero), 2)
      yield* sql`update vods set status = 'failed' where id = 600`
      yield* checked(jobs.retry(World.admin, "600"), 5, 3)
      yield* checked(Effect.ignore(jobs.abandon(job, "no_audio")), 2)
      yield* checked(jobs.prune, 500)
    })
  )
})
