/** Turns on a real database: what they take, whatever commits or ends meanwhile, and how much they read for it. */
import { assert, layer } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { SqlClient } from "effect/sql"
import { Db } from "../../../src/Db.ts"
import { Webhooks } from "../../../src/Webhooks.ts"
import { TurnRows } from "../../../src/Webhooks/Deliveries/TurnRows.ts"
import { startReceiver } from "../support/Receiver.ts"
import * as World from "../support/World.ts"

layer(World.layer, { excludeTestServices: true })("Turns", (it) => {
  it.effect("keep an event that is committed while its endpoint has a turn for the next turn", () =>
    Effect.gen(function* () {
      yield* World.clear
      const turns = yield* TurnRows
      yield* World.endpoint("ada", "http://127.0.0.1:9/hook")
      yield* World.append("ada", [1])
      yield* World.wake
      const [taken] = yield* turns.take("healthy", 10)
      yield* World.append("ada", [2])
      yield* World.wake
      yield* turns.complete([], World.released(taken))
      const [next] = yield* turns.take("healthy", 10)
      assert.lengthOf(next?.deliveries ?? [], 2)
    })
  )

  it.effect("take no turn that ends meanwhile, because its deliveries would be sent again", () =>
    Effect.gen(function* () {
      yield* World.clear
      const sql = yield* SqlClient.SqlClient
      const turns = yield* TurnRows
      const { endpoint } = yield* World.endpoint("ada", "http://127.0.0.1:9/hook")
      yield* World.append("ada", [1])
      yield* World.wake
      const [taken] = yield* turns.take("healthy", 10)
      const ending = yield* World.uncommitted(turns.complete(World.delivered(taken), World.released(taken)))
      yield* World.append("ada", [2])
      const waking = yield* Effect.forkChild(turns.wake([endpoint.id], { healthy: 10, failing: 10 }))
      yield* Effect.repeat(
        sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
        { until: ({ length }) => length > 0 }
      )
      yield* ending.commit
      const { due, turns: woken } = yield* Fiber.join(waking)
      assert.deepStrictEqual([woken, [...due]], [[], ["healthy"]])
      const [next] = yield* turns.take("healthy", 10)
      assert.lengthOf(next?.deliveries ?? [], 1)
      assert.notStrictEqual(next?.deliveries[0]?.event, taken?.deliveries[0]?.event)
    })
  )

  it.effect("deliver an event of a long transaction after later events, which did not wait for it", () =>
    Effect.gen(function* () {
      yield* World.clear
      const receiver = yield* startReceiver()
      yield* World.endpoint("ada", receiver.url)
      const long = yield* World.uncommitted(World.append("ada", [1]))
      const later = yield* World.append("ada", [2])
      yield* World.round
      assert.deepStrictEqual(receiver.ids(), later)
      const early = yield* long.commit
      yield* World.round
      assert.deepStrictEqual(receiver.ids(), [...later, ...early])
      assert.isTrue((early[0] ?? "") < (later[0] ?? ""))
    })
  )

  it.effect(
    "take as long for others when one endpoint has 50,000 deliveries waiting, and read only a batch of these",
    () =>
      Effect.gen(function* () {
        yield* World.clear
        const sql = yield* SqlClient.SqlClient
        const turns = yield* TurnRows
        const { endpoint } = yield* World.endpoint("many", "http://127.0.0.1:9/hook")
        yield* World.endpoint("ada", "http://127.0.0.1:9/hook")
        yield* sql`
        insert into events (id, type, size, body)
        select lpad(to_hex(n), 32, '0')::uuid, 'test.said', 2, '{}' from generate_series(1, 50000) n`
        yield* sql`
        insert into webhook_deliveries (event_id, endpoint_id, type, due_at)
        select id, ${endpoint.id}::uuid, type, now() - interval '1 hour' from events`
        yield* sql`analyze webhook_deliveries, events`
        yield* sql`update webhook_turns set due_at = now() where endpoint_id = ${endpoint.id}::uuid`
        yield* World.append("ada", [1])
        yield* World.wake
        // The counts are those of the connection's latest transactions.
        const counts = sql<{ readonly scanned: number; readonly fetched: number }>`
          select seq_tup_read::int as scanned, idx_tup_fetch::int as fetched
          from pg_stat_xact_user_tables where relname = 'webhook_deliveries'`
        const { after, before, taken } = yield* Db.use((db) =>
          db.transaction("test", () =>
            Effect.gen(function* () {
              const [before] = yield* counts
              const taken = yield* turns.take("healthy", 10)
              const [after] = yield* counts
              return { before, after, taken }
            })
          )
        )
        assert.sameMembers(
          taken.map(({ deliveries }) => deliveries.length),
          [100, 1]
        )
        assert.strictEqual((after?.scanned ?? NaN) - (before?.scanned ?? NaN), 0)
        assert.isBelow((after?.fetched ?? NaN) - (before?.fetched ?? NaN), 300)
      })
  )

  it.effect("read nothing of what was delivered before, also while an old transaction keeps its index entries", () =>
    Effect.gen(function* () {
      yield* World.clear
      const sql = yield* SqlClient.SqlClient
      const turns = yield* TurnRows
      const { endpoint } = yield* World.endpoint("ada", "http://127.0.0.1:9/hook")
      const old = yield* World.uncommitted(sql`select txid_current()`)
      yield* sql`
        insert into webhook_deliveries (event_id, endpoint_id, type, due_at)
        select gen_random_uuid(), ${endpoint.id}::uuid, 't', now() - interval '1 hour' from generate_series(1, 20000)`
      yield* sql`update webhook_deliveries set due_at = null, state = 'delivered'`
      // Of the connection's latest transactions.
      const blocks = Effect.map(
        sql<{ readonly n: number }>`
          select pg_stat_get_xact_blocks_fetched('webhook_deliveries_due'::regclass)::int as n`,
        ([row]) => row?.n ?? NaN
      )
      const turn = Db.use((db) =>
        db.transaction("test", () =>
          Effect.gen(function* () {
            const before = yield* blocks
            const [taken] = yield* turns.take("healthy", 10)
            yield* turns.complete(World.delivered(taken), World.released(taken))
            return { blocks: (yield* blocks) - before, deliveries: taken?.deliveries.length }
          })
        )
      )
      yield* World.append("ada", [1])
      yield* World.wake
      const first = yield* turn
      yield* World.append("ada", [2])
      yield* World.wake
      const second = yield* turn
      yield* old.commit
      assert.deepStrictEqual([first.deliveries, second.deliveries], [1, 1])
      assert.isAbove(first.blocks, 100)
      assert.isBelow(second.blocks, 30)
    })
  )

  it.effect("find an event that was committed long after its transaction began, when others were delivered since", () =>
    Effect.gen(function* () {
      yield* World.clear
      const sql = yield* SqlClient.SqlClient
      const turns = yield* TurnRows
      const webhooks = yield* Webhooks
      const receiver = yield* startReceiver()
      yield* World.endpoint("ada", receiver.url)
      yield* World.append("ada", [1])
      yield* World.round
      const begunBefore = (n: number) =>
        Effect.tap(
          World.append("ada", [n]),
          sql`update webhook_deliveries set due_at = now() - interval '1 minute' where due_at is not null`
        )
      yield* begunBefore(2)
      yield* World.round
      assert.lengthOf(receiver.received, 1)
      assert.strictEqual(yield* webhooks.recover, 1)
      yield* World.round
      assert.lengthOf(receiver.received, 2)
      // The endpoint has a turn when it is searched for.
      yield* World.append("ada", [3])
      yield* World.wake
      const [taken] = yield* turns.take("healthy", 10)
      yield* World.append("ada", [4])
      yield* sql`
        update webhook_deliveries set due_at = now() - interval '1 minute'
        where due_at is not null and event_id <> ${taken?.deliveries[0]?.event ?? ""}::uuid`
      yield* webhooks.recover
      yield* turns.complete(World.delivered(taken), World.released(taken))
      yield* World.round
      assert.lengthOf(receiver.received, 3)
    })
  )
})
