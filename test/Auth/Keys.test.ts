/** Access keys, on the real database. */
import { assert, layer } from "@effect/vitest"
import { DateTime, Effect, Layer, Option, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { Keys, layer as keysLayer } from "../../src/Auth/Keys.ts"
import { KeysConfig } from "../../src/Auth/KeysConfig.ts"
import * as Postgres from "../support/Postgres.ts"
import { environment } from "../Http/support/Served.ts"

const keys = (env: Record<string, string> = {}) =>
  keysLayer.pipe(
    Layer.provide(KeysConfig.layer),
    Layer.provideMerge(Layer.fresh(Postgres.layer)),
    Layer.provide(environment(env))
  )

const person = { uid: "ada", scopes: [], expiresAt: Option.none() }

layer(keys(), { excludeTestServices: true })("keys", (it) => {
  it.effect("finds a created key by its secret, and stores only the hash", () =>
    Effect.gen(function* () {
      const store = yield* Keys
      const { key, secret } = yield* store.create({ ...person, scopes: ["service"] })
      assert.match(Redacted.value(secret), /^spw_[A-Za-z0-9_-]{43}$/)
      const found = Option.getOrThrow(yield* store.find(secret))
      assert.deepStrictEqual([found.id, found.uid, found.scopes], [key.id, "ada", ["service"]])
      const rows = yield* Effect.flatMap(
        SqlClient.SqlClient,
        (sql) => sql<{ t: string }>`select keys::text as t from keys`
      )
      assert.notInclude(JSON.stringify(rows), Redacted.value(secret).slice(4))
    })
  )

  it.effect("stops finding a key once this node revokes it, even when the key is cached", () =>
    Effect.gen(function* () {
      const store = yield* Keys
      const { key, secret } = yield* store.create(person)
      assert.isTrue(Option.isSome(yield* store.find(secret)))
      assert.isTrue(yield* store.revoke(key.id))
      assert.isTrue(Option.isNone(yield* store.find(secret)))
      assert.notInclude(
        (yield* store.list).map(({ id }) => id),
        key.id
      )
      assert.isFalse(yield* store.revoke("key_nobody"))
    })
  )

  it.effect("knows a key without a query once it was found, until this node revokes it", () =>
    Effect.gen(function* () {
      const store = yield* Keys
      const [one, other] = [yield* store.create(person), yield* store.create({ ...person, uid: "grace" })]
      const connection = {}
      const known = (secret: Redacted.Redacted) =>
        Effect.map(store.cached(Redacted.value(secret), connection), (key) => Option.getOrUndefined(key)?.uid)
      assert.isUndefined(yield* known(one.secret))
      yield* store.find(one.secret)
      yield* store.find(other.secret)
      assert.deepStrictEqual(
        [yield* known(one.secret), yield* known(other.secret), yield* known(one.secret)],
        ["ada", "grace", "ada"]
      )
      yield* store.revoke(one.key.id)
      assert.deepStrictEqual([yield* known(one.secret), yield* known(other.secret)], [undefined, "grace"])
    })
  )

  it.effect("does not find an expired or unknown key", () =>
    Effect.gen(function* () {
      const store = yield* Keys
      const past = Option.some(DateTime.subtract(yield* DateTime.now, { minutes: 1 }))
      const { secret } = yield* store.create({ ...person, expiresAt: past })
      assert.isTrue(Option.isNone(yield* store.find(secret)))
      assert.isTrue(Option.isNone(yield* store.cached(Redacted.value(secret), {})))
      assert.isTrue(Option.isNone(yield* store.find(Redacted.make(`spw_${"A".repeat(43)}`))))
      assert.isTrue(Option.isNone(yield* store.find(Redacted.make("no key at all"))))
    })
  )
})

layer(keys({ SPILLWAY_MAX_KEYS: "2" }), { excludeTestServices: true })("a user's bound on keys", (it) => {
  it.effect("rejects a key over the bound, and deletes revoked keys first", () =>
    Effect.gen(function* () {
      const store = yield* Keys
      const first = yield* store.create(person)
      yield* store.create(person)
      assert.strictEqual((yield* Effect.flip(store.create(person)))._tag, "TooManyKeys")
      yield* store.revoke(first.key.id)
      yield* store.create(person)
      assert.strictEqual((yield* store.list).length, 2)
    })
  )
})

layer(keys({ KEY_CACHE_TIME: "1 millis" }), { excludeTestServices: true })("keys that another node revoked", (it) => {
  it.effect("stop working when their cache entry expires", () =>
    Effect.gen(function* () {
      const store = yield* Keys
      const sql = yield* SqlClient.SqlClient
      const { key, secret } = yield* store.create(person)
      assert.isTrue(Option.isSome(yield* store.find(secret)))
      yield* sql`update keys set revoked_at = now() where id = ${key.id}`
      const cached = Effect.suspend(() => store.cached(Redacted.value(secret), {}))
      yield* Effect.repeat(cached, { until: Option.isNone, times: 10_000 })
      assert.isTrue(Option.isNone(yield* cached))
      yield* Effect.repeat(store.find(secret), { until: Option.isNone, times: 10_000 })
      assert.isTrue(Option.isNone(yield* store.find(secret)))
    })
  )
})
