/** `src/Vods/Lists/ListRows.ts`: pages while VODs are created, deleted and restored. */
import { assert, layer } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { ListRows, type Place } from "../../../src/Vods/Lists/ListRows.ts"
import type { Vod } from "../../../src/Vods/Vod.ts"
import { VodRows } from "../../../src/Vods/VodRows.ts"
import { random } from "../../Recording/support/Arrivals.ts"
import { seed } from "../../support/Seed.ts"
import * as World from "../support/World.ts"

const filter = { owner: "u", state: undefined } as const

/** The whole list by its cursors, `size` a page. */
const read = Effect.fnUntraced(function* (size: number) {
  const lists = yield* ListRows
  const ids: Array<string> = []
  let place: Place = { skipped: 0 }
  for (;;) {
    const page: ReadonlyArray<Vod> = (yield* lists.page(filter, place, size + 1)).vods
    ids.push(...page.slice(0, size).map(({ id }) => id))
    if (page.length <= size) return ids
    place = { after: page[size - 1]?.cursor ?? "" }
  }
})

layer(World.layer, { excludeTestServices: true })("Pages with cursors", (it) => {
  it.effect("miss and repeat nothing while other VODs are created, deleted and restored", () =>
    Effect.gen(function* () {
      const rows = yield* VodRows
      yield* World.clear
      const next = random(seed)
      // Few different times, so that ids decide.
      const make = Effect.suspend(() => World.vod({ uid: "u", minute: Math.floor(next() * 6) }))
      const kept: Array<string> = []
      const changing: Array<string> = []
      for (let n = 0; n < 40; n++) {
        kept.push(yield* make)
        changing.push(yield* make)
      }
      const all = yield* read(100)
      assert.sameMembers(all, [...kept, ...changing])
      const order = all.filter((id) => kept.includes(id))
      const write = Effect.gen(function* () {
        const id = changing[Math.floor(next() * changing.length)] ?? ""
        const what = next()
        if (what < 0.3) changing.push(yield* make)
        else if (what < 0.65) yield* rows.remove(World.admin, id, () => true)
        else yield* rows.restore(World.admin, id)
      })
      const writing = yield* Effect.forkChild(
        Effect.all(
          Array.from({ length: 4 }, () => Effect.replicateEffect(write, 60)),
          { concurrency: "unbounded" }
        )
      )
      let passes = 0
      do {
        const ids = yield* read(1 + Math.floor(next() * 9))
        assert.deepStrictEqual(
          ids.filter((id) => kept.includes(id)),
          order
        )
        assert.strictEqual(new Set(ids).size, ids.length)
        passes++
      } while (writing.pollUnsafe() === undefined)
      yield* Fiber.join(writing)
      assert.isAbove(passes, 1)
      assert.isAbove(changing.length, 40)
    })
  )
})
