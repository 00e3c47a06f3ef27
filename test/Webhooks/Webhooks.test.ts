/** `src/Webhooks.ts`: deliveries on a real database, to real HTTP servers. */
import { assert, layer } from "@effect/vitest"
import { Duration, Effect, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { Webhook } from "standardwebhooks"
import { Webhooks } from "../../src/Webhooks.ts"
import { DeliveryRows } from "../../src/Webhooks/Deliveries/DeliveryRows.ts"
import { TurnRows } from "../../src/Webhooks/Deliveries/TurnRows.ts"
import { EndpointRows } from "../../src/Webhooks/Endpoints/EndpointRows.ts"
import { sequence, startReceiver } from "./support/Receiver.ts"
import * as World from "./support/World.ts"

const states = Effect.map(World.deliveries, (rows) => rows.map(({ state }) => state))

layer(World.layer, { excludeTestServices: true })("Webhooks", (it) => {
  it.effect("deliver an event once to each subscribed endpoint of its user, and to those of all users", () =>
    Effect.gen(function* () {
      yield* World.clear
      const [ada, all, bob, off] = [
        yield* startReceiver(),
        yield* startReceiver(),
        yield* startReceiver(),
        yield* startReceiver()
      ]
      yield* World.endpoint("ada", ada.url)
      yield* World.endpoint("ada", off.url, { isEnabled: false })
      yield* World.endpoint("ada", off.url, { types: ["test.brief"] })
      yield* World.endpoint(undefined, all.url, { types: ["test.said"] })
      yield* World.endpoint("bob", bob.url)
      const ids = yield* World.append("ada", [1, 2, 3])
      yield* World.round
      assert.sameMembers(ada.ids(), ids)
      assert.sameMembers(all.ids(), ids)
      assert.deepStrictEqual([...bob.ids(), ...off.ids()], [])
      assert.deepStrictEqual(yield* states, Array(6).fill("delivered"))
      yield* World.lapse
      yield* World.round
      assert.lengthOf(ada.received, 3)
    })
  )

  it.effect("store nothing of an event without a subscription", () =>
    Effect.gen(function* () {
      yield* World.clear
      const sql = yield* SqlClient.SqlClient
      yield* World.endpoint("bob", "http://127.0.0.1:9/hook")
      yield* World.append("ada", [1])
      assert.deepStrictEqual(yield* sql`select from events`, [])
      assert.deepStrictEqual(yield* World.deliveries, [])
    })
  )

  it.effect("sign with the live secrets, and send the owner's headers", () =>
    Effect.gen(function* () {
      yield* World.clear
      const rows = yield* EndpointRows
      const receiver = yield* startReceiver()
      const { endpoint, secret } = yield* World.endpoint("ada", receiver.url, {
        headers: { authorization: "Bearer x" }
      })
      const owner = { uid: "ada", isAdmin: false }
      const rotated = yield* Effect.flatMap(rows.rotate(owner, endpoint.id, Duration.hours(1)), Effect.fromOption).pipe(
        Effect.orDie
      )
      yield* World.append("ada", [7])
      yield* World.round
      const [one] = receiver.received
      assert.strictEqual(one?.headers["authorization"], "Bearer x")
      const headers = Object.fromEntries(
        Object.entries(one?.headers ?? {}).map(([name, value]) => [name, String(value)])
      )
      for (const each of [secret, rotated]) {
        const payload = new Webhook(Redacted.value(each)).verify(one?.body ?? "", headers)
        assert.deepInclude(payload, { type: "test.said", data: { n: 7 } })
      }
      const again = yield* Effect.orDie(
        Effect.flatMap(rows.rotate(owner, endpoint.id, Duration.zero), Effect.fromOption)
      )
      yield* World.append("ada", [8])
      yield* World.round
      const later = receiver.received[1]
      assert.lengthOf(String(later?.headers["webhook-signature"]).split(" "), 1)
      assert.notStrictEqual(Redacted.value(again), Redacted.value(rotated))
    })
  )

  it.effect("repeat an attempt with the same id, and record each one", () =>
    Effect.gen(function* () {
      yield* World.clear
      const log = yield* DeliveryRows
      const receiver = yield* startReceiver(sequence(503, 429, 200))
      const { endpoint } = yield* World.endpoint("ada", receiver.url)
      const [id] = yield* World.append("ada", [1])
      yield* World.round
      const [first] = yield* World.deliveries
      assert.deepInclude(first, { state: "pending", attempts: 1, error: "the endpoint answered 503" })
      assert.isTrue((first?.due ?? 0) > 3_000 && (first?.due ?? 0) <= 6_000, `${first?.due}`)
      yield* World.lapse
      yield* World.round
      const [second] = yield* World.deliveries
      assert.isTrue((second?.due ?? 0) > 230_000 && (second?.due ?? 0) <= 360_000, `${second?.due}`)
      yield* World.lapse
      yield* World.round
      assert.deepStrictEqual(receiver.ids(), [id, id, id])
      assert.deepStrictEqual(yield* states, ["delivered"])
      const found = yield* Effect.orDie(Effect.flatMap(log.find(endpoint.id, first?.event ?? ""), Effect.fromOption))
      assert.deepStrictEqual(
        found.attempts.map(({ number, status }) => [number, status]),
        [
          [1, 503],
          [2, 429],
          [3, 200]
        ]
      )
      assert.include(found.attempts[0]?.request, `webhook-id: ${id}`)
    })
  )

  it.effect("leave an endpoint alone after five failures in a row, and attempt again on request with all retries", () =>
    Effect.gen(function* () {
      yield* World.clear
      const log = yield* DeliveryRows
      const receiver = yield* startReceiver(() => ({ status: 500 }))
      const { endpoint } = yield* World.endpoint("ada", receiver.url)
      yield* World.append("ada", [1])
      for (let attempt = 0; attempt < 12; attempt++) {
        yield* World.lapse
        yield* World.round
      }
      // After five failures in a row the endpoint's breaker is open, which `lapse` does not close.
      const [row] = yield* World.deliveries
      assert.strictEqual(row?.attempts, 5)
      yield* log.replay(endpoint.id, row?.event ?? "")
      assert.deepInclude((yield* World.deliveries)[0], { state: "pending", attempts: 0, made: 5 })
    })
  )

  it.effect("disable an endpoint that is gone, and notify its owner's other endpoint", () =>
    Effect.gen(function* () {
      yield* World.clear
      const rows = yield* EndpointRows
      const gone = yield* startReceiver(() => ({ status: 410 }))
      const other = yield* startReceiver()
      const { endpoint } = yield* World.endpoint("ada", gone.url)
      yield* World.endpoint("ada", other.url, { types: ["endpoint.disabled"] })
      yield* World.append("ada", [1])
      yield* World.round
      yield* World.round
      const owner = { uid: "ada", isAdmin: false }
      const found = yield* Effect.orDie(Effect.flatMap(rows.find(owner, endpoint.id), Effect.fromOption))
      assert.strictEqual(found.disabled?.reason, "gone")
      const [notice] = other.received.map(({ body }) => JSON.parse(body))
      assert.deepInclude(notice.data, { reason: "gone", uid: "ada", url: gone.url })
      yield* World.append("ada", [2])
      yield* World.lapse
      yield* World.round
      assert.lengthOf(gone.received, 1)
      yield* rows.update(owner, endpoint.id, { isEnabled: true })
      yield* World.append("ada", [3])
      yield* World.round
      assert.lengthOf(gone.received, 2)
    })
  )

  it.effect("disable an endpoint after 100 failures in a row, and enable it when a probe succeeds", () =>
    Effect.gen(function* () {
      yield* World.clear
      const sql = yield* SqlClient.SqlClient
      const rows = yield* EndpointRows
      let status = 404
      const receiver = yield* startReceiver(() => ({ status }))
      const { endpoint } = yield* World.endpoint("ada", receiver.url)
      yield* World.append(
        "ada",
        Array.from({ length: 120 }, (_, n) => n)
      )
      // The first turn ends after five failures, and each later one after another.
      for (let turn = 0; turn < 96; turn++) {
        yield* World.lapse
        yield* World.round
      }
      const owner = { uid: "ada", isAdmin: false }
      const find = Effect.orDie(Effect.flatMap(rows.find(owner, endpoint.id), Effect.fromOption))
      assert.strictEqual((yield* find).disabled?.reason, "failing")
      assert.lengthOf(receiver.received, 100)
      yield* World.append("ada", [999])
      assert.lengthOf(yield* World.deliveries, 120)
      const [turn] = yield* sql<{ readonly hours: number }>`
        select (extract(epoch from due_at - now()) / 3600)::float8 as hours from webhook_turns`
      assert.closeTo(turn?.hours ?? 0, 24, 0.1)
      yield* sql`update webhook_turns set due_at = now()`
      yield* World.round
      assert.isDefined((yield* find).disabled)
      status = 200
      yield* sql`update webhook_turns set due_at = now()`
      yield* World.round
      yield* World.round
      assert.isUndefined((yield* find).disabled)
      assert.deepStrictEqual(
        (yield* states).filter((state) => state === "pending"),
        []
      )
    })
  )

  it.effect("do not send a stale or erased event, and record why", () =>
    Effect.gen(function* () {
      yield* World.clear
      const sql = yield* SqlClient.SqlClient
      const receiver = yield* startReceiver()
      yield* World.endpoint("ada", receiver.url)
      yield* World.append("ada", [1], World.brief)
      yield* sql`update events set expires_at = now() - interval '1 second'`
      yield* World.append("ada", [2])
      yield* sql`delete from events where expires_at is null`
      yield* World.round
      assert.deepStrictEqual(receiver.received, [])
      const rows = yield* World.deliveries
      assert.deepStrictEqual(
        rows.map(({ error, state }) => [state, error]),
        [
          ["expired", "the event is stale, and was not sent"],
          ["expired", "the event was erased"]
        ]
      )
    })
  )

  it.effect("send again what a killed node has sent without recording it, and find what it was not notified of", () =>
    Effect.gen(function* () {
      yield* World.clear
      const turns = yield* TurnRows
      const webhooks = yield* Webhooks
      const receiver = yield* startReceiver()
      yield* World.endpoint("ada", receiver.url)
      const ids = yield* World.append("ada", [1, 2])
      yield* World.wake
      const [taken] = yield* turns.take("healthy", 10)
      assert.lengthOf(taken?.deliveries ?? [], 2)
      assert.deepStrictEqual(yield* turns.take("healthy", 10), [])
      yield* World.lapse
      yield* World.round
      assert.sameMembers(receiver.ids(), ids)
      // The result of the former lease comes too late.
      yield* turns.complete(
        World.delivered(taken).map((result) => ({ ...result, state: "dead", made: 9 })),
        []
      )
      assert.deepStrictEqual(yield* states, ["delivered", "delivered"])
      // Committed, but its node is killed before it wakes the endpoint.
      const sql = yield* SqlClient.SqlClient
      yield* World.append("ada", [3])
      yield* sql`update webhook_turns set due_at = null`
      assert.strictEqual(yield* webhooks.sweep("healthy"), 0)
      assert.strictEqual(yield* webhooks.recover, 1)
      yield* World.round
      assert.lengthOf(receiver.received, 3)
    })
  )

  it.effect("deliver to others while 20 endpoints never answer", () =>
    Effect.gen(function* () {
      yield* World.clear
      const webhooks = yield* Webhooks
      const silent = yield* startReceiver(() => undefined)
      const receiver = yield* startReceiver()
      for (let n = 0; n < 20; n++) yield* World.endpoint(`silent-${n}`, silent.url.replace("127.0.0.1", "localhost"))
      yield* World.endpoint("ada", receiver.url)
      for (let n = 0; n < 20; n++) yield* World.append(`silent-${n}`, [1, 2, 3])
      yield* webhooks.wakeAppended(Duration.zero)
      yield* webhooks.sweep("healthy")
      const ids = yield* World.append("ada", [1, 2, 3])
      yield* webhooks.wakeAppended(Duration.zero)
      yield* webhooks.sweep("healthy")
      const began = performance.now()
      while (receiver.received.length < 3 && performance.now() - began < 10_000) yield* Effect.sleep("10 millis")
      assert.sameMembers(receiver.ids(), ids)
      yield* World.clear
    }).pipe(Effect.scoped)
  )

  it.effect("keep to the rate of an endpoint", () =>
    Effect.gen(function* () {
      yield* World.clear
      const receiver = yield* startReceiver()
      yield* World.endpoint("ada", receiver.url, { rate: 20 })
      yield* World.append("ada", [1, 2, 3, 4, 5, 6])
      yield* World.round
      const times = receiver.received.map(({ at }) => at)
      assert.lengthOf(times, 6)
      assert.isAtLeast((times.at(-1) ?? 0) - (times[0] ?? 0), 150)
    })
  )
})
