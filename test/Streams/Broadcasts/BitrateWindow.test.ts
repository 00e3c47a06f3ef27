/** `src/Streams/Broadcasts/LiveCaptures.ts`: the bitrate of a capture. */
import { assert, it } from "@effect/vitest"
import { Schema } from "effect"
import { BitrateWindow } from "../../../src/Streams/Broadcasts/LiveCaptures.ts"

const feed = (window: BitrateWindow, from: number, to: number, bytesPerSecond: number) => {
  for (let at = from; at < to; at += 100) window.add(bytesPerSecond / 10, at)
}

it.prop(
  "is that of a steady capture, whenever it began and however long it lasts",
  {
    from: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 10_000_000 })),
    seconds: Schema.Int.check(Schema.isBetween({ minimum: 2, maximum: 90 }))
  },
  ({ from, seconds }) => {
    const window = new BitrateWindow()
    const end = from + seconds * 1_000
    feed(window, from, end, 32_000)
    assert.approximately(window.bitrate(end), 256_000, 256_000 / (10 * Math.min(seconds, 29)) + 1)
  }
)

it("falls to zero within 30 seconds of silence, and counts anew after them", () => {
  const window = new BitrateWindow()
  assert.strictEqual(window.bitrate(5_000), 0)
  feed(window, 0, 30_000, 32_000)
  assert.approximately(window.bitrate(45_000), 128_000, 9_000)
  assert.strictEqual(window.bitrate(60_000), 0)
  feed(window, 100_000, 104_000, 16_000)
  assert.approximately(window.bitrate(104_000), 128_000, 4_000)
})
