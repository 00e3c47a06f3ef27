/** When the issuer's keys are read, and what happens while they can't be. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Logger, Metric } from "effect"
import { TestClock } from "effect/testing"
import { JwtConfig } from "../../../src/Auth/Jwt/JwtConfig.ts"
import { IssuerKeys } from "../../../src/Auth/Jwt/IssuerKeys.ts"
import * as Settings from "../../support/Settings.ts"
import { type Answer, ecKey, type FakeIssuer, fakeIssuer, jwkOf, rsaKey } from "./support/FakeIssuer.ts"

const key = rsaKey("rsa-1")

/** Keys of an issuer that answers like this, after the request of the start. */
const reading = <A, E>(
  answer: Answer,
  body: (fake: FakeIssuer) => Effect.Effect<A, E, IssuerKeys>,
  env: Record<string, string> = {}
) =>
  Effect.gen(function* () {
    const fake = yield* Effect.acquireRelease(
      Effect.promise(() => fakeIssuer(key)),
      ({ close }) => Effect.promise(close)
    )
    fake.answer = answer
    const config = JwtConfig.layer.pipe(Layer.provide(Settings.environment(env)))
    const started = Effect.andThen(
      Effect.promise(() => fake.asked(1)),
      body(fake)
    )
    return yield* Effect.provide(started, IssuerKeys.layerOf(fake.url).pipe(Layer.provide(config)))
  }).pipe(Effect.scoped)

const refreshed = Effect.flatMap(IssuerKeys, (keys) => keys.refreshed)
const isKnown = Effect.map(IssuerKeys, (keys) => keys.current() !== undefined)

/** "keys", or the reason and the seconds after which to try again. */
const outcome = refreshed.pipe(
  Effect.as("keys"),
  Effect.catch(({ reason, retryAfter }) => Effect.succeed(`${reason}, ${Math.ceil(Duration.toSeconds(retryAfter))}`))
)

const requests = Effect.map(Metric.snapshot, (all) =>
  ["spillway_jwks_refreshes_total", "spillway_jwks_refresh_failures_total"].map((name) => {
    const found = all.find(({ id }) => id === name)
    return found?.type === "Counter" ? Number(found.state.count) : 0
  })
)

describe("the keys", () => {
  it.effect("are read once at the start, however many requests wait for them", () =>
    reading("keys", (fake) =>
      Effect.gen(function* () {
        const all = yield* Effect.forEach(Array.from({ length: 200 }), () => outcome, { concurrency: "unbounded" })
        assert.deepStrictEqual([...new Set(all)], ["keys"])
        assert.strictEqual(fake.requests(), 1)
      })
    )
  )

  it.effect("are read again at most once a minute on request, and every ten minutes without one", () =>
    reading("keys", (fake) =>
      Effect.gen(function* () {
        yield* outcome
        yield* TestClock.adjust("59 seconds")
        yield* outcome
        assert.strictEqual(fake.requests(), 1)
        yield* TestClock.adjust("2 seconds")
        yield* Effect.all([outcome, outcome, outcome], { concurrency: "unbounded" })
        assert.strictEqual(fake.requests(), 2)
        yield* TestClock.adjust("9 minutes")
        yield* Effect.promise(() => fake.asked(3))
      })
    )
  )

  it.effect("are read by one request that outlives the client it was made for", () =>
    reading("hang", (fake) =>
      Effect.gen(function* () {
        const first = yield* Effect.forkChild(outcome, { startImmediately: true })
        const second = yield* Effect.forkChild(outcome, { startImmediately: true })
        yield* Fiber.interrupt(first)
        for (let round = 0; round < 20; round++) yield* Fiber.interrupt(yield* Effect.forkChild(outcome))
        yield* TestClock.adjust("5 seconds")
        assert.strictEqual(yield* Fiber.join(second), "no response within 5s, 55")
        assert.strictEqual(fake.requests(), 1)
      })
    )
  )

  it.effect("stay in use while reading them fails, which is logged once, as is its end", () => {
    const lines: Array<string> = []
    const logger = Logger.make(({ message }) => void lines.push(String(message)))
    return reading("keys", (fake) =>
      Effect.gen(function* () {
        yield* outcome
        fake.answer = 503
        for (const count of [2, 3]) {
          yield* TestClock.adjust("61 seconds")
          assert.match(yield* outcome, /^status 503, (59|60)$/)
          assert.deepStrictEqual([yield* isKnown, fake.requests()], [true, count])
        }
        fake.answer = "keys"
        yield* TestClock.adjust("61 seconds")
        assert.strictEqual(yield* outcome, "keys")
        assert.deepStrictEqual(lines, [
          "The keys of the JWT issuer can't be read: status 503",
          "The keys of the JWT issuer can be read again"
        ])
      })
    ).pipe(Effect.provide(Logger.layer([logger])))
  })

  it.effect("are asked for every minute while none are known", () =>
    reading(500, (fake) =>
      Effect.gen(function* () {
        assert.strictEqual(yield* outcome, "status 500, 60")
        fake.answer = "keys"
        yield* TestClock.adjust("1 minute")
        yield* Effect.promise(() => fake.asked(2))
        assert.strictEqual(yield* outcome, "keys")
      })
    )
  )

  it.effect("are not taken from a redirect, a large body, or a body without a usable key", () =>
    Effect.gen(function* () {
      const usable = jwkOf(key)
      const set = (...keys: ReadonlyArray<unknown>) => ({ body: JSON.stringify({ keys }) })
      const elsewhere = yield* Effect.acquireRelease(
        Effect.promise(() => fakeIssuer(key)),
        ({ close }) => Effect.promise(close)
      )
      const cases: ReadonlyArray<readonly [Answer, string]> = [
        [{ location: elsewhere.url }, "status 302, 60"],
        [{ body: JSON.stringify({ keys: [usable], padding: "x".repeat(256 * 1024) }) }, "more than 262144 bytes, 60"],
        [{ body: "<html>" }, "it is not a JSON Web Key Set, 60"],
        [{ body: "[]" }, "it is not a JSON Web Key Set, 60"],
        [set(), "it has no key for RS256 or ES256, 60"],
        [set({ kty: "oct", k: "c2VjcmV0", kid: "a" }), "it has no key for RS256 or ES256, 60"],
        [set({ kty: "EC", crv: "P-384", x: "a", y: "b" }), "it has no key for RS256 or ES256, 60"],
        [set(null, 7, { kty: "oct" }, jwkOf(ecKey())), "keys"]
      ]
      for (const [answer, expected] of cases) {
        assert.strictEqual(yield* reading(answer, () => outcome), expected)
      }
      assert.strictEqual(elsewhere.requests(), 0)
    }).pipe(Effect.scoped)
  )

  it.effect("have a bounded number of requests waiting for them; one more fails at once", () =>
    reading(
      "hang",
      () =>
        Effect.gen(function* () {
          for (let count = 0; count < 3; count++) yield* Effect.forkChild(outcome, { startImmediately: true })
          assert.strictEqual(yield* outcome, "too many requests wait for them, 60")
        }),
      { JWKS_WAITERS: "3" }
    )
  )

  it.effect("have counters of the requests for them and of the failures", () =>
    Effect.gen(function* () {
      const [before = [], after = []] = [
        yield* requests,
        yield* Effect.andThen(
          reading(500, () => outcome),
          requests
        )
      ]
      assert.deepStrictEqual(
        after.map((count, index) => count - (before[index] ?? 0)),
        [1, 1]
      )
    })
  )
})
