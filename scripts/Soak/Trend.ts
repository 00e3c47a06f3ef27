/** How much a figure grows over time, whatever single samples are. */

export interface Sample {
  /** Seconds. */
  readonly at: number
  readonly value: number
}

export interface Trend {
  readonly median: number
  /** The median of the slopes between all pairs of samples (Theil–Sen), times an hour. */
  readonly perHour: number
  /** The slope times the time between the first and the last sample. */
  readonly growth: number
}

const medianOf = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0

/** Most samples that are compared with each other: evenly spread ones. */
const compared = 500

/** Of at least two samples, by time. */
export const trendOf = (all: ReadonlyArray<Sample>): Trend => {
  const every = Math.ceil(all.length / compared)
  const samples = all.filter((_, index) => index % every === 0)
  const slopes = samples.flatMap((from, index) =>
    samples.slice(index + 1).map((to) => (to.value - from.value) / (to.at - from.at))
  )
  const slope = medianOf(slopes)
  return {
    median: medianOf(all.map(({ value }) => value)),
    perHour: slope * 3_600,
    growth: slope * ((all.at(-1)?.at ?? 0) - (all[0]?.at ?? 0))
  }
}
