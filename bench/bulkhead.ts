/** The overhead of a bulkhead next to Effect's semaphore and other libraries, in the same run. */
import { bulkhead as cockatielBulkhead } from "cockatiel"
import { Duration, Effect, Semaphore } from "effect"
import pLimit from "p-limit"
import * as Bulkhead from "../src/Bulkhead/Bulkhead.ts"
import { median } from "./Measurement.ts"

const permits = 8
const workers = 64
const users = 16

/** Nanoseconds per run. */
interface Cost {
  /** Sequential and uncontended; the work is empty. */
  readonly alone: number
  /** Many workers for few permits; the work is one turn of the event loop. */
  readonly crowded: number
}

/** Runs the work `count` times in all, with this many workers. */
interface Contender {
  readonly name: string
  readonly alone: (count: number) => Promise<void>
  readonly crowded: (count: number) => Promise<void>
}

const turn = Effect.callback<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})
const turnPromise = () => new Promise<void>((resolve) => setImmediate(resolve))

const effects = (
  name: string,
  run: (worker: number) => (work: Effect.Effect<void>) => Effect.Effect<void>
): Contender => {
  const repeat = (work: Effect.Effect<void>, count: number) => {
    let done = 0
    return Effect.whileLoop({ while: () => done++ < count, body: () => work, step: () => {} })
  }
  const all = Array.from({ length: workers }, (_, worker) => worker)
  return {
    name,
    alone: (count) => Effect.runPromise(repeat(run(0)(Effect.void), count)),
    crowded: (count) =>
      Effect.runPromise(
        Effect.forEach(all, (worker) => repeat(run(worker)(turn), count / workers), {
          concurrency: "unbounded",
          discard: true
        })
      )
  }
}

const promises = (name: string, run: (work: () => Promise<void> | void) => Promise<void>): Contender => {
  const repeat = async (work: () => Promise<void> | void, count: number) => {
    for (let i = 0; i < count; i++) await run(work)
  }
  return {
    name,
    alone: (count) => repeat(() => {}, count),
    crowded: async (count) => {
      await Promise.all(Array.from({ length: workers }, () => repeat(turnPromise, count / workers)))
    }
  }
}

const contenders = Effect.gen(function* () {
  const ours = yield* Bulkhead.make({
    name: "bench",
    permits,
    maxWaiting: 1_000,
    maxWaitingPerKey: 64,
    retryAfter: Duration.seconds(1),
    warnEvery: Duration.hours(1)
  })
  const semaphore = yield* Semaphore.make(permits)
  const limit = pLimit(permits)
  const cockatiel = cockatielBulkhead(permits, workers)
  return {
    ours: effects("Spillway's bulkhead", (worker) => (work) => Effect.orDie(ours.run(`u${worker % users}`)(work))),
    semaphore: effects("Effect's semaphore", () => semaphore.withPermit),
    pLimit: promises("p-limit", async (work) => limit(work)),
    cockatiel: promises("cockatiel", async (work) => cockatiel.execute(work))
  }
})

const nanos = async (run: (count: number) => Promise<void>, count: number) => {
  const start = process.hrtime.bigint()
  await run(count)
  return Number(process.hrtime.bigint() - start) / count
}

/** Every round runs every contender, so that other load affects all alike. */
const measure = async (all: ReadonlyArray<Contender>, count: number, rounds: number) => {
  const costs = new Map(all.map(({ name }): [string, Array<Cost>] => [name, []]))
  for (let round = -2; round < rounds; round++) {
    for (const { alone, crowded, name } of all) {
      const cost = { alone: await nanos(alone, count), crowded: await nanos(crowded, count) }
      if (round >= 0) costs.get(name)?.push(cost)
    }
  }
  return (contender: Contender): Cost => {
    const of = costs.get(contender.name) ?? []
    return { alone: median(of.map(({ alone }) => alone)), crowded: median(of.map(({ crowded }) => crowded)) }
  }
}

export const run = (args: ReadonlyArray<string>): Promise<void> => {
  const isQuick = args.includes("--quick")
  const report = Effect.fnUntraced(function* (all: Effect.Success<typeof contenders>) {
    const cost = yield* Effect.promise(() => measure(Object.values(all), isQuick ? 19_200 : 32_000, isQuick ? 3 : 9))
    console.log(`ns per run; alone: one after the other; crowded: ${workers} workers on ${permits} permits`)
    console.log(`${"".padEnd(22)}${"alone".padStart(8)}${"crowded".padStart(9)}`)
    for (const each of Object.values(all)) {
      const { alone, crowded } = cost(each)
      console.log(`${each.name.padEnd(22)}${alone.toFixed(0).padStart(8)}${crowded.toFixed(0).padStart(9)}`)
    }
    /** Our time over theirs, for the worse of the two loads. */
    const ratio = (other: Contender) => {
      const [ours, theirs] = [cost(all.ours), cost(other)]
      return Number(Math.max(ours.alone / theirs.alone, ours.crowded / theirs.crowded).toFixed(2))
    }
    console.log(
      JSON.stringify({
        vsSemaphore: ratio(all.semaphore),
        vsPLimit: ratio(all.pLimit),
        vsCockatiel: ratio(all.cockatiel)
      })
    )
  })
  return Effect.runPromise(Effect.scoped(Effect.flatMap(contenders, report)))
}
