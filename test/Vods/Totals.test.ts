/** `src/Vods`: the totals of lists, which are kept and not counted. */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { ListRows } from "../../src/Vods/Lists/ListRows.ts"
import { State, Status } from "../../src/Vods/Vod.ts"
import { VodRows } from "../../src/Vods/VodRows.ts"
import { random } from "../Recording/support/Arrivals.ts"
import { seed } from "../support/Seed.ts"
import * as World from "./support/World.ts"

const users = ["u0", "u1", "u2"]
const writers = 8

/** By `count(*)`, of a user or of all, in a state or in any but deleted. */
const counted = Effect.fnUntraced(function* (uid: string | undefined, state: State | undefined) {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<{ readonly n: number }>`
    select count(*)::int as n from vods
    where ${uid === undefined ? sql`true` : sql`uid = ${uid}`}
      and ${state === undefined ? sql`deleted_at is null` : state === "deleted" ? sql`deleted_at is not null` : sql`deleted_at is null and status = ${state}`}`
  return row?.n ?? 0
})

const checkAll = Effect.gen(function* () {
  const lists = yield* ListRows
  for (const owner of [undefined, ...users])
    for (const state of [undefined, ...State.literals]) {
      const { total } = yield* lists.page({ owner, state }, { skipped: 100 }, 10)
      assert.strictEqual(total, yield* counted(owner, state), `${owner} ${state}`)
    }
})

layer(World.layer, { excludeTestServices: true })("Totals", (it) => {
  it.effect("equal count(*) after 8 writers have created, changed, deleted, restored and purged VODs at once", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const rows = yield* VodRows
      yield* World.clear
      const ids: Array<string> = []
      const write = Effect.fnUntraced(function* (writer: number) {
        const next = random(seed + writer)
        const pick = <A>(values: ReadonlyArray<A>) => values[Math.floor(next() * values.length)]
        for (let n = 0; n < 60; n++) {
          const id = pick(ids)
          const what = next()
          if (id === undefined || what < 0.35)
            ids.push(yield* World.vod({ uid: pick(users) ?? "", status: pick(Status.literals) ?? "ready" }))
          else if (what < 0.55) yield* sql`update vods set status = ${pick(Status.literals)} where id = ${id}::bigint`
          else if (what < 0.75) yield* rows.remove(World.admin, id, () => true)
          else if (what < 0.9) yield* rows.restore(World.admin, id)
          else if (what < 0.95) yield* sql`delete from vods where id = ${id}::bigint`
          // A statement of several users, as that of a node that creates VODs.
          else
            yield* sql`
              update vods set status = ${pick(Status.literals)}
              where id in (select id from vods order by id limit 20 for update skip locked)`
        }
      })
      yield* Effect.forEach(
        Array.from({ length: writers }, (_, n) => n),
        write,
        { concurrency: "unbounded", discard: true }
      )
      yield* checkAll
      assert.isAbove(yield* counted(undefined, undefined), 10)
      assert.isAbove(yield* counted(undefined, "deleted"), 10)
    })
  )

  it.effect("are kept by the transaction that changes them, and not when it is rolled back", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* World.clear
      yield* World.vod({ uid: "u0" })
      yield* sql.withTransaction(Effect.andThen(World.vod({ uid: "u0" }), Effect.fail("rolled back"))).pipe(Effect.flip)
      yield* checkAll
      assert.strictEqual(yield* counted("u0", "ready"), 1)
    })
  )

  it.effect("are written by no change of anything else", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* World.clear
      const id = yield* World.vod({ uid: "u0" })
      const versions = sql`select xmin::text as version from vod_counts order by uid, state, slot`
      const before = yield* versions
      yield* VodRows.use((rows) =>
        rows.update(World.owner("u0"), id, { title: "Another", description: undefined }, () => true)
      )
      assert.deepStrictEqual(yield* versions, before)
    })
  )
})
