/** A replay is stored once. */
import { assert, it } from "@effect/vitest"
import { Arbitrary, Effect, Schema } from "effect"
import { Coverage } from "../../src/Recording/Coverage.ts"

const Tick = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 200 }))
const Spans = Arbitrary.array(
  Arbitrary.schema(
    Schema.Struct({ start: Tick, length: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 30 })) })
  ),
  {
    maxLength: 30
  }
)

it.effect.prop(
  "answers exactly the parts that nothing covers, whatever was added and removed",
  { spans: Spans, gone: Spans, wanted: Schema.Struct({ start: Tick, length: Tick }) },
  Effect.fnUntraced(function* ({ gone, spans, wanted }) {
    yield* Effect.void
    const coverage = new Coverage(1000)
    const model = new Set<number>()
    for (const { length, start } of spans) {
      coverage.add(start, start + length)
      for (let at = start; at < start + length; at++) model.add(at)
    }
    for (const { length, start } of gone.slice(0, 3)) {
      coverage.remove(start, start + length)
      for (let at = start; at < start + length; at++) model.delete(at)
    }
    const uncovered = new Set<number>()
    for (const part of coverage.uncovered(wanted.start, wanted.start + wanted.length)) {
      for (let at = part.start; at < part.end; at++) uncovered.add(at)
    }
    for (let at = wanted.start; at < wanted.start + wanted.length; at++) {
      assert.strictEqual(uncovered.has(at), !model.has(at), `second ${at}`)
    }
    const starts = coverage.intervals.map((interval) => interval.start)
    assert.deepStrictEqual(
      starts,
      starts.toSorted((a, b) => a - b)
    )
  }),
  { arbitrary: { runs: 300 } }
)

it("joins spans that touch within a millisecond, and keeps others apart", () => {
  const coverage = new Coverage(10)
  coverage.add(0, 1)
  coverage.add(1.0009, 2)
  coverage.add(2.0011, 3)
  assert.deepStrictEqual(
    coverage.intervals.map(({ end, start }) => [start, end]),
    [
      [0, 2],
      [2.0011, 3]
    ]
  )
})

it("forgets the oldest span beyond its limit", () => {
  const coverage = new Coverage(2)
  for (const start of [0, 10, 20]) coverage.add(start, start + 1)
  assert.deepStrictEqual(
    coverage.intervals.map((interval) => interval.start),
    [10, 20]
  )
})
