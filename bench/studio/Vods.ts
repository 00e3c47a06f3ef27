/** Pages of a user's 500,000 VODs among a million, with their total. */
import { Duration, Effect } from "effect"
import { SqlClient } from "effect/sql"
import { ListRows, type Place } from "../../src/Vods/Lists/ListRows.ts"
import { fill } from "../../test/Vods/support/Many.ts"
import { round } from "../Measurement.ts"
import { medianOfRounds, pageMillis, pagesPerSecond } from "./Pages.ts"

export const layer = ListRows.layer

const pageSize = 20

export const measure = (quick: boolean) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const lists = yield* ListRows
    const count = quick ? 100_000 : 1_000_000
    const [filling] = yield* Effect.timed(fill(count))
    const filter = { owner: "big", state: undefined } as const
    const { total } = yield* lists.page(filter, { skipped: 0 }, pageSize + 1)
    const deepest = total - pageSize - 1
    const [row] = yield* sql<{ readonly cursor: string }>`
      select (extract(epoch from created_at) * 1000000)::bigint || '-' || id as cursor from vods
      where uid = 'big' and state <> 'deleted' order by created_at desc, id desc offset ${deepest} limit 1`
    const deep: Place = { after: row?.cursor ?? "" }
    const page = (place: Place) => lists.page(filter, place, pageSize + 1)
    const peer = (depth: number) => sql`
      select *, count(*) over () as total from vods where uid = 'big' and deleted_at is null
      order by created_at desc, id desc offset ${depth} limit ${pageSize}`

    const seconds = quick ? 1 : 3
    const measured = Effect.gen(function* () {
      return {
        first: yield* pagesPerSecond(() => page({ skipped: 0 }), seconds),
        deepest: yield* pagesPerSecond(() => page(deep), seconds),
        firstMs: yield* pageMillis(page({ skipped: 0 }), 100),
        deepestMs: yield* pageMillis(page(deep), 100),
        numberedMs: yield* pageMillis(page({ skipped: 9_980 }), 20),
        offsetFirstMs: yield* pageMillis(peer(0), 3),
        offsetDeepestMs: yield* pageMillis(peer(deepest), 3)
      }
    })
    const of = yield* medianOfRounds(measured)
    return {
      vods: count,
      vodPagesPerSecond: round(of("first"), 0),
      vodDeepestPagesPerSecond: round(of("deepest"), 0),
      vodDepthRatio: round(of("deepestMs") / of("firstMs")),
      vodVsOffset: round(of("offsetDeepestMs") / of("deepestMs"), 0),
      vodVsOffsetFirst: round(of("offsetFirstMs") / of("firstMs"), 0),
      vodNumberedMs: round(of("numberedMs")),
      fillSeconds: round(Duration.toSeconds(filling), 1)
    }
  })
