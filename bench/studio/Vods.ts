/** Pages of a user's 500,000 VODs among a million, with their total. */
import { Duration, Effect } from "effect"
import { SqlClient } from "effect/sql"
import { ListRows, type Place } from "../../src/Vods/Lists/ListRows.ts"
import { fill } from "../../test/Vods/support/Many.ts"

export const layer = ListRows.layer

const pageSize = 20

/** Requests at once: as many as have a connection of their own. */
const atOnce = 8

const median = (values: ReadonlyArray<number>) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN
const round = (value: number, digits = 2) => Number(value.toFixed(digits))

/** Pages a second, in `seconds` of them. */
const rate = <A, E, R>(page: Effect.Effect<A, E, R>, seconds: number) =>
  Effect.gen(function* () {
    const began = performance.now()
    let pages = 0
    const loop = Effect.repeat(
      Effect.tap(page, () => Effect.sync(() => pages++)),
      { until: () => performance.now() - began > seconds * 1_000 }
    )
    yield* Effect.all(
      Array.from({ length: atOnce }, () => loop),
      { concurrency: atOnce, discard: true }
    )
    return (pages * 1_000) / (performance.now() - began)
  })

/** Milliseconds of one page after another. */
const alone = <A, E, R>(page: Effect.Effect<A, E, R>, count: number) =>
  Effect.map(
    Effect.forEach(Array.from({ length: count }), () =>
      Effect.map(Effect.timed(page), ([took]) => Duration.toMillis(took))
    ),
    median
  )

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
    const one = Effect.gen(function* () {
      return {
        first: yield* rate(page({ skipped: 0 }), seconds),
        deepest: yield* rate(page(deep), seconds),
        firstMs: yield* alone(page({ skipped: 0 }), 100),
        deepestMs: yield* alone(page(deep), 100),
        numberedMs: yield* alone(page({ skipped: 9_980 }), 20),
        offsetFirstMs: yield* alone(peer(0), 3),
        offsetDeepestMs: yield* alone(peer(deepest), 3)
      }
    })
    const rounds = yield* Effect.replicateEffect(one, 3)
    console.table(rounds.map((each) => Object.fromEntries(Object.entries(each).map(([key, v]) => [key, round(v)]))))
    const of = (key: keyof (typeof rounds)[number]) => median(rounds.map((each) => each[key]))
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
