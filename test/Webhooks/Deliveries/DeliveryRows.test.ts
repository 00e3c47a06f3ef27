/** The log of deliveries on a real database: pages, replays, what is erased with an endpoint, and what is removed with age. */
import { assert, layer } from "@effect/vitest"
import { Effect, Option } from "effect"
import { SqlClient } from "effect/sql"
import { DeliveryRows } from "../../../src/Webhooks/Deliveries/DeliveryRows.ts"
import { EndpointErasure } from "../../../src/Webhooks/Endpoints/EndpointErasure.ts"
import { maxEndpointsOfUser } from "../../../src/Webhooks/Endpoints/EndpointRows.ts"
import { sequence, startReceiver } from "../support/Receiver.ts"
import * as World from "../support/World.ts"

const states = Effect.map(World.deliveries, (rows) => rows.map(({ state }) => state))

layer(World.layer, { excludeTestServices: true })("The log of deliveries", (it) => {
  it.effect("send a range of events again, the oldest first, at a bounded rate", () =>
    Effect.gen(function* () {
      yield* World.clear
      const log = yield* DeliveryRows
      const receiver = yield* startReceiver(() => ({ status: 404 }))
      const { endpoint } = yield* World.endpoint("ada", receiver.url)
      const before = Date.now()
      yield* World.append("ada", [1, 2, 3])
      yield* World.round
      assert.deepStrictEqual(yield* states, ["dead", "dead", "dead"])
      const range = { from: before, to: Date.now() + 1_000, states: ["dead"] as const }
      assert.strictEqual(yield* log.countRange(endpoint.id, range), 3)
      assert.strictEqual(yield* log.countRange(endpoint.id, { ...range, to: before }), 0)
      assert.strictEqual(yield* log.replayRange(endpoint.id, range), 3)
      const due = (yield* World.deliveries).map((row) => row.due ?? 0)
      assert.closeTo((due[2] ?? 0) - (due[0] ?? 0), 20, 0.01)
      assert.strictEqual(yield* log.countRange(endpoint.id, range), 0)
    })
  )

  it.effect("page through the log by state and type, newest first", () =>
    Effect.gen(function* () {
      yield* World.clear
      const log = yield* DeliveryRows
      const receiver = yield* startReceiver(sequence(200, 404, 200, 404, 200))
      const { endpoint } = yield* World.endpoint("ada", receiver.url)
      for (const n of [1, 2, 3, 4, 5]) {
        yield* World.append("ada", [n], n === 3 ? World.brief : World.said)
        yield* World.round
      }
      const all = (yield* World.deliveries).map(({ event }) => event).toReversed()
      const pages: Array<string> = []
      let before: string | undefined
      do {
        const page = yield* log.page(endpoint.id, { state: undefined, type: undefined, before, limit: 2 })
        pages.push(...page.deliveries.map(({ event }) => event))
        before = page.next
      } while (before !== undefined)
      assert.deepStrictEqual(pages, all)
      const dead = yield* log.page(endpoint.id, { state: "dead", type: undefined, before: undefined, limit: 10 })
      assert.lengthOf(dead.deliveries, 2)
      const brief = yield* log.page(endpoint.id, { state: undefined, type: "test.brief", before: undefined, limit: 10 })
      assert.lengthOf(brief.deliveries, 1)
      const health = yield* log.health(endpoint.id)
      assert.deepInclude(health, { ended: 5, delivered: 3, pending: 0, failures: 0 })
    })
  )

  it.effect("say of what waits when it is sent, which is not before the pause of its endpoint ends", () =>
    Effect.gen(function* () {
      yield* World.clear
      const log = yield* DeliveryRows
      const receiver = yield* startReceiver(() => ({ status: 500 }))
      const { endpoint } = yield* World.endpoint("ada", receiver.url)
      const [first = ""] = yield* World.append("ada", [1, 2, 3, 4, 5])
      yield* World.round
      const { failures, nextAt } = yield* log.health(endpoint.id)
      assert.strictEqual(failures, 5)
      const [{ event = "" } = {}] = yield* World.deliveries
      assert.strictEqual(`evt_${event.replaceAll("-", "")}`, first)
      assert.isTrue(yield* log.replay(endpoint.id, event))
      const { deliveries } = yield* log.page(endpoint.id, {
        state: undefined,
        type: undefined,
        before: undefined,
        limit: 9
      })
      assert.deepStrictEqual(
        deliveries.map(({ dueAt }) => dueAt),
        [nextAt, nextAt, nextAt, nextAt, nextAt]
      )
      assert.deepStrictEqual(Option.getOrThrow(yield* log.find(endpoint.id, event)).delivery.dueAt, nextAt)
    })
  )

  it.effect("erase a removed endpoint with its deliveries, and reject one over the bound of a user", () =>
    Effect.gen(function* () {
      yield* World.clear
      const sql = yield* SqlClient.SqlClient
      const erasure = yield* EndpointErasure
      const receiver = yield* startReceiver()
      for (let n = 0; n < maxEndpointsOfUser; n++) yield* World.endpoint("ada", receiver.url)
      const over = yield* Effect.flip(World.endpoint("ada", receiver.url))
      assert.strictEqual(over._tag, "TooManyEndpoints")
      yield* World.append("ada", [1])
      yield* World.round
      assert.isTrue(yield* erasure.has("ada"))
      assert.strictEqual(yield* erasure.removeOf("ada"), maxEndpointsOfUser)
      yield* Effect.repeat(erasure.erase("ada"), { while: (erased) => erased > 0 })
      for (const table of ["webhook_endpoints", "webhook_deliveries", "webhook_attempts", "webhook_turns"])
        assert.deepStrictEqual(yield* sql`select from ${sql(table)}`, [], table)
    })
  )

  it.effect("remove bodies of events after 30 days, and lines of the log after 90", () =>
    Effect.gen(function* () {
      yield* World.clear
      const sql = yield* SqlClient.SqlClient
      const log = yield* DeliveryRows
      const daysAgo = (days: number) =>
        `${(Date.now() - days * 86_400_000)
          .toString(16)
          .padStart(12, "0")
          .replace(/^(.{8})/, "$1-")}-7000-8000-000000000000`
      for (const days of [1, 31, 91]) {
        yield* sql`insert into events (id, type, size, body) values (${daysAgo(days)}::uuid, 't', 2, '{}')`
        yield* sql`
          insert into webhook_deliveries (event_id, endpoint_id, type) values (${daysAgo(days)}::uuid, ${daysAgo(1)}::uuid, 't')`
      }
      assert.isFalse(yield* log.prune)
      const count = (table: string) => Effect.map(sql`select from ${sql(table)}`, (rows) => rows.length)
      assert.deepStrictEqual([yield* count("events"), yield* count("webhook_deliveries")], [1, 2])
    })
  )
})
