/** `src/Webhooks/Listeners/ListenerRows.ts`: listeners on a real database. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { Webhook } from "standardwebhooks"
import { Webhooks } from "../../src/Webhooks.ts"
import { EndpointErasure } from "../../src/Webhooks/Endpoints/EndpointErasure.ts"
import { EndpointRows } from "../../src/Webhooks/Endpoints/EndpointRows.ts"
import { ListenerRows } from "../../src/Webhooks/Listeners/ListenerRows.ts"
import * as World from "./support/World.ts"

const world = ListenerRows.layer.pipe(Layer.provideMerge(World.layer))
const [ada, bob] = [
  { uid: "ada", isAdmin: false },
  { uid: "bob", isAdmin: false }
]

const listener = Effect.flatMap(EndpointRows, (rows) => rows.create("ada", World.fields(""), "v1", "listener"))

layer(world, { excludeTestServices: true })("A listener", (it) => {
  it.effect("is given the same signed events until it has received them, and only its user's", () =>
    Effect.gen(function* () {
      yield* World.clear
      const rows = yield* ListenerRows
      const { endpoint, secret } = yield* listener
      const events = yield* World.append("ada", [1, 2])
      yield* World.append("bob", [3])
      const first = yield* rows.fetch(ada, endpoint.id)
      const ids = first.map(({ headers }) => headers["webhook-id"])
      assert.deepStrictEqual(ids, events)
      for (const { body, headers } of first) new Webhook(Redacted.value(secret)).verify(body, headers)
      assert.lengthOf(yield* rows.fetch(ada, endpoint.id), 2)
      assert.deepStrictEqual(yield* rows.fetch(bob, endpoint.id), [])
      assert.isFalse(
        yield* rows.acknowledge(
          bob,
          endpoint.id,
          first.map(({ id }) => id)
        )
      )
      assert.isTrue(yield* rows.acknowledge(ada, endpoint.id, [first[0]?.id ?? ""]))
      assert.deepStrictEqual(
        (yield* rows.fetch(ada, endpoint.id)).map(({ id }) => id),
        [first[1]?.id]
      )
    })
  )

  it.effect("is no webhook: no node sends to it, and it is neither listed nor changed as one", () =>
    Effect.gen(function* () {
      yield* World.clear
      const endpoints = yield* EndpointRows
      const { recover } = yield* Webhooks
      const { endpoint } = yield* listener
      yield* World.append("ada", [1])
      yield* World.round
      assert.strictEqual(yield* recover, 0)
      yield* World.round
      assert.deepStrictEqual(
        (yield* World.deliveries).map(({ state }) => state),
        ["pending"]
      )
      assert.deepStrictEqual(yield* endpoints.list("ada"), [])
      assert.isFalse(yield* endpoints.remove(ada, endpoint.id))
    })
  )

  it.effect("is removed with what waits for it when it does not ask for 5 minutes", () =>
    Effect.gen(function* () {
      yield* World.clear
      const sql = yield* SqlClient.SqlClient
      const rows = yield* ListenerRows
      const erasure = yield* EndpointErasure
      const [idle, active] = [yield* listener, yield* listener]
      yield* World.append("ada", [1])
      const since = (minutes: number, id: string) =>
        sql`update webhook_endpoints set polled_at = now() - ${`${minutes} minutes`}::interval where id = ${id}::uuid`
      yield* since(6, idle.endpoint.id)
      yield* since(4, active.endpoint.id)
      assert.strictEqual(yield* rows.removeIdle, 1)
      assert.isFalse(yield* rows.acknowledge(ada, idle.endpoint.id, []))
      yield* Effect.repeat(erasure.erase(undefined), { while: (erased) => erased > 0 })
      assert.lengthOf(yield* World.deliveries, 1)
      assert.lengthOf(yield* rows.fetch(ada, active.endpoint.id), 1)
      assert.isTrue(yield* rows.remove(ada, active.endpoint.id))
      assert.deepStrictEqual(yield* rows.fetch(ada, active.endpoint.id), [])
    })
  )
})
