/** `bench/Curves.ts`: what the drawing shows, whatever the values. */
import { assert, it } from "@effect/vitest"
import { Schema } from "effect"
import { draw } from "../../bench/Curves.ts"

const Value = Schema.Number.check(Schema.isBetween({ minimum: 0, maximum: 1e7 }))
const Points = Schema.Array(Schema.Struct({ x: Value, y: Value })).check(Schema.isMaxLength(20))

const numbers = (svg: string, attribute: string) =>
  [...svg.matchAll(new RegExp(` ${attribute}="([^"]*)"`, "g"))].flatMap(([, value = ""]) =>
    value.split(/[ ,]/).map(Number)
  )

it.prop("draws every point inside of the axes, in its order", [Points, Points], ([one, two]) => {
  const svg = draw({
    title: "t",
    x: "x",
    y: "y",
    curves: [
      { name: "one", points: one },
      { name: "two", points: two }
    ]
  })
  const drawn = [...svg.matchAll(/points="([^"]*)"/g)].map(([, text = ""]) =>
    text.split(" ").flatMap((point) => (point === "" ? [] : [point.split(",").map(Number)]))
  )
  assert.deepStrictEqual(
    drawn.map(({ length }) => length),
    [one.length, two.length]
  )
  for (const [x = Number.NaN, y = Number.NaN] of drawn.flat()) {
    assert.isTrue(x >= 64 && x <= 490, `${x} is between the ends of the axis`)
    assert.isTrue(y >= 40 && y <= 312, `${y} is between the ends of the axis`)
  }
  for (const [index, points] of [one, two].entries())
    for (const [at, point] of points.slice(1).entries()) {
      const [before, after] = [drawn[index]?.[at], drawn[index]?.[at + 1]]
      const isHigher = point.y > (points[at]?.y ?? 0)
      assert.isTrue(isHigher ? (after?.[1] ?? 0) <= (before?.[1] ?? 0) : (after?.[1] ?? 0) >= (before?.[1] ?? 0))
    }
  assert.isTrue([...numbers(svg, "x"), ...numbers(svg, "cx"), ...numbers(svg, "y1")].every(Number.isFinite))
})

it("leaves out what was not measured, names each curve, and can be read on dark pages", () => {
  const points = [
    { x: 1, y: Number.NaN },
    { x: 2, y: 5 }
  ]
  const svg = draw({ title: "a < b & c", x: "x", y: "y", curves: [{ name: "the server", points }] })
  assert.strictEqual(svg.match(/<polyline/g)?.length, 1)
  assert.match(svg, /points="[\d.]+,[\d.]+"/)
  assert.include(svg, "a &lt; b &amp; c")
  assert.include(svg, ">the server</text>")
  assert.include(svg, "prefers-color-scheme:dark")
})
