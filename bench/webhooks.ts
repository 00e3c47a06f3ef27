/**
 * Webhooks from the commit of an event to its receipt in another process, at steady rates and at the maximum, beside a bare
 * `undici` sender to the same receiver; and those of 999 endpoints beside one that never answers, or has 750,000 events waiting.
 */
import { type ChildProcess, fork } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { Agent } from "@effect/platform-node/Undici"
import { Effect, Layer, References, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { Db } from "../src/Db.ts"
import * as EmbeddedPostgres from "../src/Db/Postgres/EmbeddedPostgres.ts"
import { Protection } from "../src/Encryption.ts"
import { ProtectionConfig } from "../src/Encryption/ProtectionConfig.ts"
import * as Events from "../src/Events.ts"
import { Webhooks } from "../src/Webhooks.ts"
import * as Janitor from "../src/Webhooks/Janitor.ts"
import { EndpointRows } from "../src/Webhooks/Endpoints/EndpointRows.ts"
import * as Pusher from "../src/Pusher.ts"
import { WebhooksConfig } from "../src/Webhooks/WebhooksConfig.ts"
import * as ScratchDatabase from "../test/support/ScratchDatabase.ts"
import { environment } from "../test/support/Settings.ts"
import { median, quantile, round } from "./Measurement.ts"

const now = () => performance.timeOrigin + performance.now()

const said = Events.define({
  name: "bench.said",
  description: "Of the bench.",
  data: Schema.Struct({ n: Schema.Int, text: Schema.String })
})
const text = "x".repeat(200)

/** As many hosts as have all of the client's connections. */
const hosts = 8
const endpoints = 40
const manyEndpoints = 1_000

interface Arrivals {
  readonly port: number
  /** When each number arrived first, and how many arrived more than once. */
  readonly times: Map<number, number>
  repeated: number
  readonly child: ChildProcess
}

const receiver = Effect.acquireRelease(
  Effect.callback<Arrivals>((resume) => {
    const child = fork(path.join(import.meta.dirname, "webhooks/Receiver.mjs"), [String(hosts)], {
      serialization: "advanced"
    })
    const times = new Map<number, number>()
    let arrivals: Arrivals | undefined
    child.on("message", (message: { readonly port: number } | ReadonlyArray<readonly [number, number]>) => {
      if ("port" in message) {
        arrivals = { port: message.port, times, repeated: 0, child }
        resume(Effect.succeed(arrivals))
        return
      }
      for (const [n, at] of message) {
        if (!times.has(n)) times.set(n, at)
        else if (arrivals !== undefined) arrivals.repeated++
      }
    })
  }),
  ({ child }) =>
    Effect.callback<void>((resume) => {
      child.once("exit", () => resume(Effect.void))
      child.kill()
    })
)

let next = 0
const numbers = (count: number) => Array.from({ length: count }, () => next++)

const until = (holds: () => boolean, limit: number) =>
  Effect.gen(function* () {
    const end = performance.now() + limit
    while (!holds() && performance.now() < end) yield* Effect.sleep("5 millis")
  })

const append = (list: ReadonlyArray<number>, users = endpoints) =>
  Effect.gen(function* () {
    const db = yield* Db
    const events = yield* Events.Events
    const made = yield* Effect.forEach(list, (n) => Events.make(said, { uid: `u${n % users}`, data: { n, text } }))
    yield* db.transactionIdempotent("bench.append", (sql) => events.append(sql, made))
  })

/** Transactions of one event each, at a steady rate. */
const steady = (arrivals: Arrivals, rate: number, seconds: number, users = endpoints) =>
  Effect.gen(function* () {
    const committed = new Map<number, number>()
    const tick = 5
    const began = performance.now()
    let made = 0
    yield* Effect.scoped(
      Effect.gen(function* () {
        while (performance.now() - began < seconds * 1_000) {
          const due = Math.floor(((performance.now() - began) * rate) / 1_000) - made
          made += due
          for (const n of numbers(due)) {
            yield* append([n], users).pipe(Effect.andThen(Effect.sync(() => committed.set(n, now()))), Effect.forkChild)
          }
          yield* Effect.sleep(tick)
        }
        yield* until(() => committed.size === made, 10_000)
      })
    )
    yield* until(() => [...committed.keys()].every((n) => arrivals.times.has(n)), 10_000)
    const lags = [...committed].map(([n, at]) => Math.max(0, (arrivals.times.get(n) ?? Infinity) - at))
    return {
      rate: round(made / seconds, 0),
      p50: round(quantile(lags, 0.5), 1),
      p95: round(quantile(lags, 0.95), 1),
      p99: round(quantile(lags, 0.99), 1),
      lost: lags.filter((lag) => lag === Infinity).length
    }
  })

/** Processor time in microseconds: of this process, and of the database's. */
const processorTime = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ readonly pid: number }>`select pid from pg_stat_activity`
  const ticks = rows.map(({ pid }) => {
    const stat = fs.existsSync(`/proc/${pid}/stat`) ? fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(" ") : []
    return Number(stat[13] ?? 0) + Number(stat[14] ?? 0)
  })
  const { system, user } = process.cpuUsage()
  return { node: user + system, postgres: ticks.reduce((sum, each) => sum + each, 0) * 10_000 }
})

/** Events a second that are committed, received and recorded, while about `ahead` of them wait. */
const maximum = (arrivals: Arrivals, seconds: number) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const ahead = 2_000
    /** Transactions at once: one after the other would be the bound. */
    const appenders = 4
    const first = next
    const began = performance.now()
    const already = arrivals.times.size
    const before = yield* processorTime
    const appendAhead = Effect.gen(function* () {
      while (performance.now() - began < seconds * 1_000) {
        if (next - first - (arrivals.times.size - already) < ahead) yield* append(numbers(100))
        else yield* Effect.sleep("2 millis")
      }
    })
    yield* Effect.all(
      Array.from({ length: appenders }, () => appendAhead),
      { concurrency: appenders, discard: true }
    )
    const count = next - first
    yield* until(() => arrivals.times.size - already >= count, 30_000)
    const waiting = sql<{
      readonly n: number
    }>`select count(*)::int as n from webhook_deliveries where due_at is not null`
    yield* Effect.repeat(waiting, { until: ([row]) => row?.n === 0 })
    const perSecond = (count * 1_000) / (performance.now() - began)
    const after = yield* processorTime
    return {
      perSecond,
      nodeMicros: (after.node - before.node) / count,
      postgresMicros: (after.postgres - before.postgres) / count
    }
  })

/** A bare sender of the same bodies: no database, no signature. */
const bare = (arrivals: Arrivals, seconds: number) =>
  Effect.promise(async () => {
    const agent = new Agent({ connections: 8 })
    const end = performance.now() + seconds * 1_000
    let sent = 0
    const one = async (index: number) => {
      while (performance.now() < end) {
        const n = next++
        const { body } = await agent.request({
          origin: `http://127.0.0.${(index % hosts) + 1}:${arrivals.port}`,
          path: "/hook",
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ type: "bench.said", timestamp: new Date().toISOString(), data: { n, text } })
        })
        await body.dump()
        sent++
      }
    }
    await Promise.all(Array.from({ length: 64 }, (_, index) => one(index)))
    await agent.close()
    return sent / seconds
  })

const endpoint = (uid: string, url: string) =>
  EndpointRows.use((rows) =>
    rows.create(
      uid,
      {
        url,
        types: ["*"],
        description: "",
        isEnabled: true,
        audioSeconds: undefined,
        rate: undefined,
        headers: {}
      },
      "v1"
    )
  )

/** The 99th percentile of all others, by what one endpoint does: in turns, because the machine has other work. */
const besideOne = (arrivals: Arrivals, quick: boolean) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* EndpointRows
    const db = yield* Db
    const events = yield* Events.Events
    const hook = `http://127.0.0.1:${arrivals.port}`
    const one = { silent: yield* endpoint("one", `${hook}/hang`), backlog: yield* endpoint("one", `${hook}/slow`) }
    const waiting = quick ? 50_000 : 750_000
    const backlog = one.backlog.endpoint.id
    yield* sql`
      insert into events (id, type, size, body)
      select lpad(to_hex(n), 32, '0')::uuid, 'bench.said', 2, '{}' from generate_series(1, ${waiting}::int) n`
    yield* sql`
      insert into webhook_deliveries (event_id, endpoint_id, type, due_at)
      select lpad(to_hex(n), 32, '0')::uuid, ${backlog}::uuid, 'bench.said', now() from generate_series(1, ${waiting}::int) n`
    const isEnabled = (name: keyof typeof one, enabled: boolean) =>
      rows.update({ uid: "one", isAdmin: false }, one[name].endpoint.id, { isEnabled: enabled })
    yield* isEnabled("silent", false)
    yield* isEnabled("backlog", false)
    yield* steady(arrivals, 200, 2, manyEndpoints - 1)
    const measure = Effect.map(steady(arrivals, 200, quick ? 3 : 10, manyEndpoints - 1), ({ p99 }) => p99)
    const found: Record<"none" | keyof typeof one, Array<number>> = { none: [], silent: [], backlog: [] }
    for (let n = 0; n < 3; n++) {
      found.none.push(yield* measure)
      for (const name of ["silent", "backlog"] as const) {
        yield* isEnabled(name, true)
        const made = yield* Events.make(said, { uid: "one", data: { n: -1, text } })
        yield* db.transactionIdempotent("bench.append", (tx) => events.append(tx, [made]))
        found[name].push(yield* measure)
        yield* isEnabled(name, false)
      }
    }
    return { none: median(found.none), silent: median(found.silent), backlog: median(found.backlog) }
  })

const program = (quick: boolean) =>
  Effect.gen(function* () {
    const arrivals = yield* receiver
    const seconds = quick ? 5 : 60
    for (let n = 0; n < endpoints; n++)
      yield* endpoint(`u${n}`, `http://127.0.0.${(n % hosts) + 1}:${arrivals.port}/hook`)
    yield* steady(arrivals, 50, 3)
    const rates = []
    for (const rate of [50, 200, 1_000]) rates.push(yield* steady(arrivals, rate, seconds))
    console.table(rates)
    const rounds = []
    for (let n = 0; n < (quick ? 1 : 3); n++) {
      const undici = yield* bare(arrivals, quick ? 3 : 10)
      const { nodeMicros, perSecond, postgresMicros } = yield* maximum(arrivals, quick ? 10 : 20)
      rounds.push({
        undici: round(undici, 0),
        durable: round(perSecond, 0),
        nodeMicros: round(nodeMicros, 0),
        postgresMicros: round(postgresMicros, 0)
      })
    }
    console.table(rounds)
    const best = rounds.toSorted((a, b) => a.durable - b.durable)[Math.floor(rounds.length / 2)]
    for (let n = endpoints; n < manyEndpoints; n++)
      yield* endpoint(`u${n}`, `http://127.0.0.${(n % hosts) + 1}:${arrivals.port}/hook`)
    const beside = yield* besideOne(arrivals, quick)
    console.table(beside)
    const [, at200, at1000] = rates
    console.log(
      JSON.stringify({
        bench: "webhooks",
        p95At200Ms: at200?.p95,
        p95At1000Ms: at1000?.p95,
        maxPerSecond: best?.durable,
        vsUndici: round((best?.durable ?? 0) / (best?.undici ?? 1), 2),
        deadEndpointRatio: round(beside.silent / beside.none, 2),
        backlogRatio: round(beside.backlog / beside.none, 2),
        p50At200Ms: at200?.p50,
        p99At200Ms: at200?.p99,
        p50At1000Ms: at1000?.p50,
        p99At1000Ms: at1000?.p99,
        nodeMicrosPerEvent: best?.nodeMicros,
        postgresMicrosPerEvent: best?.postgresMicros,
        repeated: arrivals.repeated,
        lost: rates.reduce((sum, { lost }) => sum + lost, 0)
      })
    )
  })

const settings = environment({
  SPILLWAY_WEBHOOK_ALLOW_HTTP: "yes",
  SPILLWAY_WEBHOOK_ALLOW_ADDRESSES: "127.0.0.0/8"
})
const layer = Layer.mergeAll(Janitor.layer, Webhooks.layer, Events.Events.layer, EndpointRows.layer).pipe(
  Layer.provide(
    Layer.merge(Protection.layer.pipe(Layer.provide(ProtectionConfig.layer)), WebhooksConfig.layer).pipe(
      Layer.provide(settings)
    )
  ),
  Layer.provide(Pusher.LiveAudio.layer),
  Layer.provideMerge(ScratchDatabase.layerOn(EmbeddedPostgres.layer)),
  // As in servers.
  Layer.provideMerge(Layer.succeed(References.TracerEnabled, false))
)

export const run = (args: ReadonlyArray<string>) =>
  Effect.runPromise(program(args.includes("--quick")).pipe(Effect.scoped, Effect.provide(layer)))
