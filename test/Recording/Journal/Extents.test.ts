/** `src/Recording/Journal/Extents.ts`: the same extents come out as went in. */
import { assert, it } from "@effect/vitest"
import { Schema } from "effect"
import { Extents, type RecordExtent } from "../../../src/Recording/Journal/Extents.ts"
import { Segment } from "../../../src/Recording/Journal/Segment.ts"

const segments = [1, 2, 3].map((number) => new Segment(number, `/journal/${number}`, -1, 0))

const Case = Schema.Array(
  Schema.Struct({
    segment: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2 })),
    position: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2 ** 32 - 1 })),
    length: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 2 ** 22 }))
  })
).check(Schema.isMaxLength(70))

const extentOf = ({ length, position, segment }: (typeof Case.Type)[number]): RecordExtent => ({
  segment: segments[segment] ?? assert.fail("there are three segments"),
  position,
  length,
  samples: length * 2
})

it.prop("returns extents in order, and knows the segments that they are in", [Case, Case], ([given, later]) => {
  const extents = new Extents()
  const expected = given.map(extentOf)
  for (const extent of expected) extents.push(extent)
  assert.deepStrictEqual([...extents], expected)
  extents.compact()
  assert.deepStrictEqual([...extents], expected)
  const more = later.slice(given.length).map(extentOf)
  for (const extent of more) extents.push(extent)
  expected.push(...more)
  for (const [index, value] of later.slice(0, given.length).entries()) {
    expected[index] = extentOf(value)
    extents.replace(index, extentOf(value))
  }
  assert.deepStrictEqual([...extents], expected)
  assert.strictEqual(extents.length, expected.length)
  for (const segment of segments) {
    const inside = expected.filter((extent) => extent.segment === segment)
    assert.strictEqual(extents.isIn(segment), inside.length > 0)
    assert.strictEqual(
      extents.bytesIn(segment),
      inside.reduce((sum, { length }) => sum + length, 0)
    )
  }
})
