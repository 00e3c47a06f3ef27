/** Keys take turns, whichever arrive and leave. */
import { assert, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as FairQueue from "../../src/Bulkhead/FairQueue.ts"

const Step = Schema.Struct({
  do: Schema.Literals(["add", "add", "next", "remove"]),
  key: Schema.Literals(["a", "b", "c", "d"]),
  which: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 9 }))
})

it.effect.prop(
  "serves every queued key once before it serves any key twice",
  { steps: Schema.Array(Step).check(Schema.isBetweenLength(20, 80)) },
  Effect.fnUntraced(function* ({ steps }) {
    const turns = FairQueue.make<number>()
    const lines = new Map<string, Array<number>>()
    /** For each queued key, the keys served since it arrived or was served. */
    const seen = new Map<string, Set<string>>()
    let count = 0
    const leave = (key: string, at: number) => {
      const line = lines.get(key) ?? []
      line.splice(at, 1)
      if (line.length > 0) return
      lines.delete(key)
      seen.delete(key)
    }
    for (const step of steps) {
      const line = lines.get(step.key) ?? []
      if (step.do === "add") {
        count++
        turns.add(step.key, count)
        lines.set(step.key, [...line, count])
        if (line.length === 0) seen.set(step.key, new Set())
      } else if (step.do === "remove") {
        const at = step.which % 4
        assert.strictEqual(turns.remove(step.key, line[at] ?? -1), at < line.length)
        if (at < line.length) leave(step.key, at)
      } else {
        const waiter = turns.next()
        const key = [...lines].find(([, line]) => waiter !== undefined && line[0] === waiter)?.[0]
        assert.strictEqual(key === undefined, lines.size === 0)
        if (key === undefined) continue
        for (const [other, served] of seen) {
          assert.isFalse(other !== key && served.has(key), `${key} was served twice while ${other} waited`)
          served.add(key)
        }
        seen.set(key, new Set())
        leave(key, 0)
      }
      assert.strictEqual(turns.size(), [...lines.values()].flat().length)
      for (const key of ["a", "b", "c", "d"]) assert.strictEqual(turns.sizeOf(key), lines.get(key)?.length ?? 0)
    }
    yield* Effect.void
  }),
  { arbitrary: { runs: 500 } }
)
