/** How fast pages of a list are: many requests at once, and one after another. */
import { Duration, Effect } from "effect"
import { median, round } from "../Measurement.ts"

/** As many as have a connection of their own. */
const concurrency = 8

/** Pages a second, in `seconds` of them. `page` gets the number of the request. */
export const pagesPerSecond = <A, E, R>(page: (n: number) => Effect.Effect<A, E, R>, seconds: number) =>
  Effect.gen(function* () {
    const began = performance.now()
    let pages = 0
    const loop = Effect.repeat(
      Effect.suspend(() => page(pages++)),
      { until: () => performance.now() - began > seconds * 1_000 }
    )
    yield* Effect.all(
      Array.from({ length: concurrency }, () => loop),
      { concurrency, discard: true }
    )
    return (pages * 1_000) / (performance.now() - began)
  })

/** Milliseconds of a page: the median of `count`, one after another. */
export const pageMillis = <A, E, R>(page: Effect.Effect<A, E, R>, count: number) =>
  Effect.map(
    Effect.forEach(Array.from({ length: count }), () =>
      Effect.map(Effect.timed(page), ([took]) => Duration.toMillis(took))
    ),
    median
  )

/** Prints three rounds of figures, and returns their medians. */
export const medianOfRounds = <Key extends string, E, R>(
  measured: Effect.Effect<Readonly<Record<Key, number>>, E, R>
) =>
  Effect.map(Effect.replicateEffect(measured, 3), (rounds) => {
    console.table(
      rounds.map((each) => Object.fromEntries(Object.entries<number>(each).map(([key, v]) => [key, round(v)])))
    )
    return (key: Key) => median(rounds.map((each) => each[key]))
  })
