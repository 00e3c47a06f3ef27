/** A clock whose monotonic time only moves when the test says so, and by a microsecond with each look. */
import { Clock, Effect } from "effect"

export const make = Effect.map(Clock.Clock, (real) => {
  let nanos = 0n
  const clock: Clock.Clock = Object.assign(Object.create(real), {
    monotonicTimeNanosUnsafe: () => (nanos += 1_000n)
  })
  return { clock, advance: (millis: number) => void (nanos += BigInt(millis) * 1_000_000n) }
})
