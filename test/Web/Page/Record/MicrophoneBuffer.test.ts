/** The time of every sample, whatever the clock does meanwhile. */
import { assert, it } from "@effect/vitest"
import { MicrophoneBuffer } from "../../../../src/Web/Page/Record/MicrophoneBuffer.ts"
import { random } from "../../../support/Crash.ts"
import { seed as first } from "../../../support/Seed.ts"

const pieceSeconds = 0.1

/** Seconds between two pieces: mostly a tenth, sometimes a gap, sometimes the clock is set. */
const passes = (next: () => number): number => {
  const kind = next()
  if (kind < 0.1) return pieceSeconds + (next() - 0.5) * 4_000
  return kind < 0.3 ? pieceSeconds + next() * 3 : pieceSeconds + (next() - 0.5) * 0.05
}

it("gives every sample a later time than the one before, however the clock is set", () => {
  for (let seed = first; seed < first + 200; seed++) {
    const next = random(seed)
    const rate = [8_000, 11_025, 44_100, 48_000][seed % 4] ?? 0
    const buffer = new MicrophoneBuffer(rate)
    const samples = Math.round(rate * pieceSeconds)
    let clock = 1.7e9 + next()
    let acknowledged = 0
    for (let piece = 0; piece < 60; piece++) {
      clock += passes(next)
      buffer.push(new Uint8Array(2 * samples), clock)
      const first = buffer.end - samples
      const place = `seed ${seed}, piece ${piece}`
      if (first > acknowledged) assert.isAbove(buffer.timeOf(first), buffer.timeOf(first - 1), place)
      if (next() > 0.3) continue
      const to = Math.min(buffer.end, buffer.breakAfter(acknowledged), acknowledged + Math.floor(next() * 3 * rate))
      if (to <= acknowledged) continue
      acknowledged = to
      buffer.release(acknowledged)
    }
  }
})

it("records a pause of the machine as a gap of the same length, and ignores clock drift", () => {
  const buffer = new MicrophoneBuffer(10_000)
  const piece = () => new Uint8Array(2_000)
  for (const clock of [100.1, 100.2, 103.3, 103.4]) buffer.push(piece(), clock)
  assert.strictEqual(buffer.breakAfter(0), 2_000)
  assert.closeTo(buffer.timeOf(2_000) - buffer.timeOf(1_999), 3.0001, 1e-6)
  for (let count = 1; count <= 100; count++) buffer.push(piece(), 103.4 + count * 0.12)
  assert.strictEqual(buffer.breakAfter(2_000), Infinity)
})
