/** The policy's overhead for a query: `Db` next to the bare client, on the same pool, in the same run. */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { NodeServices } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { Db } from "../src/Db.ts"
import * as Database from "../src/Db/Database.ts"
import { DbConfig } from "../src/Db/DbConfig.ts"
import { NodeConfig } from "../src/NodeConfig.ts"
import { median } from "./Measurement.ts"

/** A contender: with the policy or without. `fibers` run at a time. */
interface Case {
  readonly name: string
  readonly fibers: number
  readonly policy: Effect.Effect<unknown, unknown>
  readonly bare: Effect.Effect<unknown, unknown>
}

const warmUp = 20

/** Microseconds of a run of `effect`, when `fibers` fibers run it `count` times in all. */
const time = (effect: Effect.Effect<unknown, unknown>, fibers: number, count: number) =>
  Effect.gen(function* () {
    const each = Effect.repeat(effect, { times: Math.ceil(count / fibers) - 1 })
    const start = performance.now()
    yield* Effect.all(
      Array.from({ length: fibers }, () => each),
      { concurrency: "unbounded", discard: true }
    )
    return ((performance.now() - start) * 1000) / count
  })

const cases = Effect.gen(function* () {
  const db = yield* Db
  const sql = yield* SqlClient.SqlClient
  yield* sql`INSERT INTO conversations (uid, id) SELECT 'u' || (n % 100), 'c' || n FROM generate_series(1, 10000) AS n`
  yield* sql`CREATE UNLOGGED TABLE written (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz NOT NULL DEFAULT now())`
  yield* sql`ANALYZE`
  const one = (client: SqlClient.SqlClient) => client`SELECT ${1}::int AS one`
  const latest = (client: SqlClient.SqlClient) =>
    client`SELECT id, created_at FROM conversations WHERE uid = ${"u7"} ORDER BY seq DESC LIMIT 20`
  const insert = (client: SqlClient.SqlClient) => client`INSERT INTO written DEFAULT VALUES`
  const bare = (query: (client: SqlClient.SqlClient) => Effect.Effect<unknown, unknown>) =>
    Effect.suspend(() => query(sql))
  const list: ReadonlyArray<Case> = [
    { name: "SELECT $1, one after the other", fibers: 1, policy: db.read("Bench.one", one), bare: bare(one) },
    { name: "SELECT $1, 16 at a time", fibers: 16, policy: db.read("Bench.one", one), bare: bare(one) },
    { name: "latest 20 of a user", fibers: 1, policy: db.read("Bench.latest", latest), bare: bare(latest) },
    { name: "INSERT", fibers: 1, policy: db.write("Bench.insert", insert), bare: bare(insert) },
    {
      name: "transaction of one INSERT",
      fibers: 1,
      policy: db.transaction("Bench.transaction", insert),
      bare: sql.withTransaction(bare(insert))
    }
  ]
  return list
})

const program = (rounds: number, count: number) =>
  Effect.gen(function* () {
    const list = yield* cases
    const ratios: Record<string, number> = {}
    console.log(`${"".padEnd(34)}${"bare µs".padStart(10)}${"policy µs".padStart(11)}${"ratio".padStart(8)}`)
    for (const { bare, fibers, name, policy } of list) {
      const found: Array<{ readonly bare: number; readonly policy: number }> = []
      // Short alternating rounds, so that other load affects both alike. The first ones warm up.
      for (let round = -warmUp; round < rounds; round++) {
        const first = round % 2 === 0
        const a = yield* time(first ? bare : policy, fibers, count)
        const b = yield* time(first ? policy : bare, fibers, count)
        if (round >= 0) found.push(first ? { bare: a, policy: b } : { bare: b, policy: a })
      }
      const ratio = median(found.map((f) => f.policy / f.bare))
      ratios[name] = Number(ratio.toFixed(3))
      const columns = [median(found.map((f) => f.bare)).toFixed(1), median(found.map((f) => f.policy)).toFixed(1)]
      console.log(
        `${name.padEnd(34)}${columns[0]?.padStart(10)}${columns[1]?.padStart(11)}${ratio.toFixed(3).padStart(8)}`
      )
    }
    // The shortest query, as it shows the largest share of the policy.
    console.log(JSON.stringify({ policyOverhead: ratios["SELECT $1, one after the other"], ratios }))
  })

export const run = async (args: ReadonlyArray<string>): Promise<void> => {
  const quick = args.includes("--quick")
  const dataDir = fs.mkdtempSync(path.join(os.tmpdir(), "spillway-bench-db-"))
  const database = Database.layer.pipe(
    Layer.provide([DbConfig.layer, Layer.succeed(NodeConfig, { dataDir }), NodeServices.layer])
  )
  try {
    await Effect.runPromise(Effect.provide(program(quick ? 150 : 300, 160), database))
  } finally {
    fs.rmSync(dataDir, { recursive: true, force: true, maxRetries: 20 })
  }
}
