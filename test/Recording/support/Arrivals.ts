/** Chunks of a conversation with gaps, overlaps, jitter, other rates and losses, in any order, also repeated. */
import { Timeline } from "../../../src/Audio.ts"
import type { NewChunk } from "../../../src/Recording/Catalog/ChunkIndex.ts"

/** Numbers from 0 (included) to 1 that follow from a seed (mulberry32). */
export const random = (seed: number) => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** The longest gap in an audio file, so that short ones do. */
export const gapSeconds = 0.05

export const uuid = (index: number) => `00000000-0000-4000-8000-${String(index).padStart(12, "0")}`

const pick = <A>(next: () => number, ...values: readonly [A, ...ReadonlyArray<A>]): A =>
  values[Math.floor(next() * values.length)] ?? values[0]

const timeline = (next: () => number, count: number, gap: number): ReadonlyArray<NewChunk> => {
  const rates = pick(next, [8000], [8000], [44_100], [8000, 16_000, 44_100])
  const isJittered = next() < 0.5
  let end = 1_700_000_000 + next()
  return Array.from({ length: count }, (_, index) => {
    const sampleRate = pick(next, rates[0] ?? 8000, ...rates)
    const samples = 1 + Math.floor(next() * sampleRate * 0.02)
    const move = pick(next, 0, 0, 0, 0.000_5, 0.003, 0.04, gap + 0.001, -0.000_5, -0.004, -0.03)
    const jitter = isJittered ? (next() - 0.5) * 0.001_9 : 0
    const start = end + move + jitter
    end = Math.max(end, end + move + samples / sampleRate)
    const isLost = next() < 0.25
    return {
      id: uuid(Math.floor(next() * 1_000_000) * 1000 + index),
      start,
      samples,
      sampleRate,
      codec: next() < 0.03 ? ("opus" as const) : ("pcm16" as const),
      state: isLost ? ("lost" as const) : ("stored" as const),
      key: `k${index}`,
      object: isLost ? undefined : { bytes: samples * 2, crc32c: index }
    }
  })
}

const shuffle = <A>(next: () => number, values: ReadonlyArray<A>): ReadonlyArray<A> =>
  values
    .map((value) => ({ value, at: next() }))
    .sort((a, b) => a.at - b.at)
    .map(({ value }) => value)

/** Batches of chunks. Some lost ones arrive stored later, some arrive twice. */
export const arrivals = (seed: number, count: number, gap = gapSeconds): ReadonlyArray<ReadonlyArray<NewChunk>> => {
  const next = random(seed)
  const chunks = timeline(next, count, gap)
  const order = pick(next, chunks, chunks.toReversed(), shuffle(next, chunks), shuffle(next, chunks))
  const again = shuffle(next, chunks)
    .slice(0, Math.floor(count / 6))
    .map((chunk) => ({
      ...chunk,
      state: "stored" as const,
      object: { bytes: chunk.samples * 2, crc32c: Number(chunk.key.slice(1)) }
    }))
  const all = [...order, ...again]
  const batches: Array<ReadonlyArray<NewChunk>> = []
  while (all.length > 0) batches.push(all.splice(0, pick(next, 1, 1, 1, 3, 10)))
  return batches
}

/** The chunks after these batches; stored replaces lost. */
export const union = (batches: ReadonlyArray<ReadonlyArray<NewChunk>>): ReadonlyArray<NewChunk> => {
  const known = new Map<string, NewChunk>()
  for (const chunk of batches.flat()) {
    const key = `${chunk.start} ${chunk.id}`
    const was = known.get(key)
    if (was === undefined || (was.state === "lost" && chunk.state === "stored")) known.set(key, chunk)
  }
  return [...known.values()].sort(Timeline.order)
}
