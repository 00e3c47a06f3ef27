/** The trends of the soak: `scripts/Soak/Trend.ts`. */
import { assert, it } from "@effect/vitest"
import { trendOf } from "../../../scripts/Soak/Trend.ts"

const samples = (value: (at: number) => number) =>
  Array.from({ length: 1_200 }, (_, index) => ({ at: index * 3, value: value(index * 3) }))

it("sees a steady growth in samples that vary by more", () => {
  const { growth, median, perHour } = trendOf(samples((at) => 200 + at / 100 + 20 * Math.sin(at)))
  assert.approximately(perHour, 36, 2)
  assert.approximately(growth, 36, 2)
  assert.approximately(median, 218, 3)
})

it("sees none in what grows for a while and shrinks again", () => {
  const trend = trendOf(samples((at) => (at > 1_000 && at < 1_400 ? 400 : 200) + 5 * Math.sin(at)))
  assert.approximately(trend.growth, 0, 3)
})
