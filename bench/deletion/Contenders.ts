/** Queues on one PostgreSQL that schedule and execute the same deletions, each in batches of 500. */
import type { PgClient } from "@effect/sql-pg"
import { Duration, Effect } from "effect"
import { Logger, makeWorkerUtils, run } from "graphile-worker"
import { PgBoss } from "pg-boss"
import type { Deletion, DoomedObject } from "../../src/Deletion.ts"

export const batch = 500

export interface Contender {
  readonly name: string
  readonly schedule: (objects: ReadonlyArray<DoomedObject>) => Promise<unknown>
  /** Executes all `count` that were scheduled. */
  readonly execute: (count: number) => Promise<unknown>
  readonly close: () => Promise<unknown>
}

/** Without the janitor, whose waits are not work. */
export const spillway = (deletion: Deletion["Service"]): Contender => ({
  name: "Spillway",
  schedule: (objects) => Effect.runPromise(deletion.schedule(objects, { after: Duration.zero })),
  execute: () =>
    Effect.runPromise(Effect.andThen(Effect.repeat(deletion.sweep, { until: (size) => size === 0 }), deletion.idle)),
  close: async () => undefined
})

/** No lease, no retry: the row is deleted when it is claimed. */
export const raw = async (sql: PgClient.PgClient): Promise<Contender> => {
  await Effect.runPromise(sql`
    CREATE TABLE raw_jobs (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key text, generation text, uid text, due_at timestamptz)`)
  await Effect.runPromise(sql`CREATE INDEX ON raw_jobs (due_at, id)`)
  const claim = sql`
    WITH due AS (SELECT id FROM raw_jobs WHERE due_at <= now() ORDER BY due_at, id LIMIT ${batch} FOR UPDATE SKIP LOCKED)
    DELETE FROM raw_jobs r USING due WHERE r.id = due.id RETURNING r.id::text, r.key, r.generation, r.uid`
  return {
    name: "raw SKIP LOCKED",
    schedule: (objects) =>
      Effect.runPromise(sql`
        INSERT INTO raw_jobs (key, generation, uid, due_at)
        SELECT key, generation, uid, now() FROM unnest(
          ${objects.map(({ key }) => key)}::text[], ${objects.map(({ generation }) => generation)}::text[],
          ${objects.map(({ uid }) => uid)}::text[]
        ) AS o(key, generation, uid)`),
    execute: () => Effect.runPromise(Effect.repeat(claim, { until: (rows) => rows.length === 0 })),
    close: async () => undefined
  }
}

export const graphile = async (connectionString: string): Promise<Contender> => {
  const logger = new Logger(() => () => undefined)
  const utils = await makeWorkerUtils({ connectionString, logger })
  await utils.migrate()
  return {
    name: "graphile-worker",
    schedule: (objects) => utils.addJobs(objects.map((payload) => ({ identifier: "remove", payload }))),
    execute: async (count) => {
      let done = 0
      const finished = Promise.withResolvers<void>()
      const remove = async () => {
        if (++done === count) finished.resolve()
      }
      const runner = await run({
        taskList: { remove },
        preset: {
          worker: {
            connectionString,
            logger,
            concurrentJobs: 24,
            maxPoolSize: 26,
            localQueue: { size: batch },
            completeJobBatchDelay: 0,
            failJobBatchDelay: 0
          }
        }
      })
      await finished.promise
      // Its last completions are written by then.
      await runner.stop()
    },
    close: async () => utils.release()
  }
}

export const pgBoss = async (connectionString: string): Promise<Contender> => {
  const boss = new PgBoss({ connectionString, supervise: false, schedule: false })
  boss.on("error", (error) => console.error(error))
  await boss.start()
  await boss.createQueue("remove")
  return {
    name: "pg-boss",
    schedule: (objects) =>
      boss.insert(
        "remove",
        objects.map((data) => ({ data }))
      ),
    execute: async (count) => {
      let done = 0
      const finished = Promise.withResolvers<void>()
      const polling = { batchSize: batch, pollingIntervalSeconds: 0.5, burstWhenBatchFull: true }
      await boss.work("remove", polling, async (jobs) => {
        done += jobs.length
        if (done === count) finished.resolve()
      })
      await finished.promise
      // Waits until the last jobs are completed.
      await boss.offWork("remove", { wait: true })
    },
    close: () => boss.stop({ graceful: false })
  }
}
