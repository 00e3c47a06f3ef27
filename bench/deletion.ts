/**
 * What deletion costs: scheduling, executing against a store that does nothing, a backlog of a million, recovery after a kill,
 * and a transaction that another session keeps open; beside other queues on the same PostgreSQL, alternating. `--held` keeps
 * the transaction open for ten minutes.
 */
import { PgClient } from "@effect/sql-pg"
import { Duration, Effect, Exit, Layer, Redacted, Schedule, Scope } from "effect"
import { StorageBulkheads } from "../src/Bulkhead.ts"
import { BulkheadConfig } from "../src/Bulkhead/BulkheadConfig.ts"
import { DbServer } from "../src/Db/DbServer.ts"
import * as EmbeddedPostgres from "../src/Db/Postgres/EmbeddedPostgres.ts"
import { Deletion } from "../src/Deletion.ts"
import * as Janitor from "../src/Deletion/Janitor.ts"
import { Storage } from "../src/Storage.ts"
import * as MemoryStorage from "../src/Storage/MemoryStorage.ts"
import { makeObjects, putObjects, startNode } from "../test/Deletion/support/Nodes.ts"
import * as ScratchDatabase from "../test/support/ScratchDatabase.ts"
import { median, round, rssMB } from "./Measurement.ts"
import { batch, type Contender, graphile, pgBoss, raw, spillway } from "./deletion/Contenders.ts"
import { holdTransaction } from "./deletion/HeldTransaction.ts"

let removed = 0
/** Counts what it is asked to remove. */
const storage = Layer.succeed(
  Storage,
  Storage.of({ ...MemoryStorage.make(0), remove: () => Effect.sync(() => void removed++) })
)

const objectsOf = (round: number, count: number) =>
  Array.from({ length: count }, (_, n) => ({
    key: `chunks/u${n % 100}/c${round}/${1_700_000_000 + n}.000.batch.bin`,
    generation: String(1_700_000_000_000_000 + n),
    uid: `u${n % 100}`
  }))

/** Per second, by contender: the median of the rounds. */
const compare = async (contenders: ReadonlyArray<Contender>, rounds: number, count: number) => {
  const found = contenders.map(({ name }) => ({ name, schedule: [] as Array<number>, execute: [] as Array<number> }))
  for (let index = 0; index < rounds; index++) {
    const objects = objectsOf(index, count)
    for (const [at, { execute, schedule }] of contenders.entries()) {
      const began = performance.now()
      for (let from = 0; from < count; from += batch) await schedule(objects.slice(from, from + batch))
      const scheduled = performance.now()
      await execute(count)
      found[at]?.schedule.push((count * 1_000) / (scheduled - began))
      found[at]?.execute.push((count * 1_000) / (performance.now() - scheduled))
    }
  }
  return found.map(({ execute, name, schedule }) => ({
    name,
    schedule: round(median(schedule), 0),
    execute: round(median(execute), 0),
    best: round(Math.max(...execute), 0)
  }))
}

/** Seconds from a kill until another node has done the killed one's work. */
const recover = Effect.gen(function* () {
  const sql = yield* PgClient.PgClient
  const deletion = yield* Deletion
  const objects = yield* putObjects(400)
  const victim = yield* startNode({ pause: 50 })
  yield* deletion.schedule(objects, { after: Duration.zero })
  const removals = sql<{ readonly n: number }>`SELECT count(*)::int AS n FROM removals`
  const until = (wanted: (n: number) => boolean) =>
    Effect.repeat(removals, { until: ([row]) => wanted(row?.n ?? 0), schedule: Schedule.spaced("10 millis") })
  yield* until((n) => n >= 8)
  yield* startNode()
  yield* victim.kill
  const began = performance.now()
  yield* until((n) => n === 400)
  const seconds = (performance.now() - began) / 1_000
  yield* sql`TRUNCATE objects, removals`
  return seconds
}).pipe(Effect.scoped)

/** A million tombstones that are not due yet: memory of a node, and what each poll costs. */
const pending = Effect.gen(function* () {
  const sql = yield* PgClient.PgClient
  const deletion = yield* Deletion
  const node = yield* startNode()
  yield* Effect.sleep("6 seconds")
  const before = rssMB(node.pid)
  // In pieces, because the server limits the time of a statement.
  for (let from = 0; from < 1_000_000; from += 50_000)
    yield* sql`
      INSERT INTO tombstones (key, generation, uid, due_at)
      SELECT 'chunks/u' || n % 1000 || '/c/' || n || '.batch.bin', n::text, 'u' || n % 1000, now() + interval '1 day' + n * interval '1 millisecond'
      FROM generate_series(${from + 1}::int, ${from + 50_000}::int) n`
  yield* Effect.sleep("21 seconds")
  const grown = rssMB(node.pid) - before
  const polls: Array<number> = []
  for (let n = 0; n < 200; n++) {
    const [took] = yield* Effect.timed(Effect.andThen(deletion.sweep, deletion.waitForDue(Duration.zero)))
    polls.push(Duration.toMillis(took))
  }
  const [counted, { pending }] = yield* Effect.timed(deletion.backlog)
  yield* sql`TRUNCATE tombstones`
  return {
    pendingRssMB: round(grown, 1),
    idlePollMs: round(median(polls), 2),
    slowestPollMs: round(Math.max(...polls), 2),
    backlogMs: round(Duration.toMillis(counted), 1),
    backlogPending: pending
  }
}).pipe(Effect.scoped)

const program = (quick: boolean, held: boolean) =>
  Effect.gen(function* () {
    const sql = yield* PgClient.PgClient
    const deletion = yield* Deletion
    const { login } = yield* DbServer
    const password = Redacted.isRedacted(login.password) ? String(Redacted.value(login.password)) : ""
    const url = `postgres://${login.username}:${encodeURIComponent(password)}@/${login.database}?host=${encodeURIComponent(login.host ?? "")}`
    const contenders = yield* Effect.promise(() =>
      Promise.all([spillway(deletion), graphile(url), pgBoss(url), raw(sql)])
    )
    const rates = yield* Effect.promise(() => compare(contenders, quick ? 2 : 5, quick ? 10_000 : 50_000))
    yield* Effect.promise(() => Promise.all(contenders.map(({ close }) => close())))
    console.log(`${"".padEnd(18)}${"schedule/s".padStart(12)}${"execute/s".padStart(12)}${"best".padStart(10)}`)
    for (const { best, execute, name, schedule } of rates)
      console.log(
        name.padEnd(18) + String(schedule).padStart(12) + String(execute).padStart(12) + String(best).padStart(10)
      )
    const of = (name: string) => rates.find((rate) => rate.name === name)?.execute ?? NaN

    yield* makeObjects
    const recoveries = yield* Effect.replicateEffect(recover, quick ? 1 : 3)
    console.log(`recovery after SIGKILL: ${recoveries.map((seconds) => seconds.toFixed(1)).join(", ")} s`)
    const million = yield* pending
    console.log(
      `1,000,000 pending: ${million.pendingRssMB} MB of RSS, a poll ${million.idlePollMs} ms (slowest ${million.slowestPollMs}), the backlog counted in ${million.backlogMs} ms as ${million.backlogPending}`
    )

    const janitor = yield* Scope.make()
    yield* Layer.buildWithScope(Janitor.layer, janitor)
    const seconds = held ? 600 : quick ? 20 : 60
    const steady = yield* holdTransaction(deletion, sql, () => removed, { perSecond: 2_000, seconds })
    yield* Scope.close(janitor, Exit.void)
    console.log(
      `a transaction held for ${seconds} s at ${round(steady.arrivalsPerSecond, 0)} tombstones/s: ${round(steady.firstPerSecond, 0)} deletions/s first, ${round(steady.lastPerSecond, 0)} last, ${steady.behind} behind, caught up in ${steady.catchUpSeconds.toFixed(1)} s`
    )
    const mine = rates[0]
    console.log(
      JSON.stringify({
        schedulePerSecond: mine?.schedule,
        executePerSecond: mine?.execute,
        vsGraphile: round((mine?.execute ?? NaN) / of("graphile-worker"), 2),
        vsPgBoss: round((mine?.execute ?? NaN) / of("pg-boss"), 2),
        vsRaw: round((mine?.execute ?? NaN) / of("raw SKIP LOCKED"), 2),
        recoverySeconds: round(Math.max(...recoveries), 1),
        ...million,
        heldRateFall: round(steady.rateFall, 3),
        heldCatchUpSeconds: round(steady.catchUpSeconds, 1),
        rates
      })
    )
  }).pipe(Effect.scoped)

export const run = async (args: ReadonlyArray<string>): Promise<void> => {
  const layer = Deletion.layer.pipe(
    Layer.provide([storage, StorageBulkheads.layer.pipe(Layer.provide(BulkheadConfig.layer))]),
    Layer.provideMerge(ScratchDatabase.layerOn(EmbeddedPostgres.layer))
  )
  await Effect.runPromise(Effect.provide(program(args.includes("--quick"), args.includes("--held")), layer))
}
