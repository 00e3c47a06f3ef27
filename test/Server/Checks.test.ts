/** Readiness while the store has faults. */
import { assert, it } from "@effect/vitest"
import { Duration, Effect, Layer, References } from "effect"
import { HttpClient } from "effect/http"
import { Db } from "../../src/Db.ts"
import * as Checks from "../../src/Server/Checks.ts"
import * as Health from "../../src/Server/HealthHttp.ts"
import { Keys } from "../../src/Auth/Keys.ts"
import * as Metrics from "../../src/Server/MetricsHttp.ts"
import { Recording } from "../../src/Recording.ts"
import { bucket, layerFor, startServer } from "../Storage/support/TestGcs.ts"
import type { GcsServer } from "../support/gcs/Server.ts"
import { served } from "../Http/support/Served.ts"

const env = { READY_TIMEOUT: "50 millis", READY_STORE_INTERVAL: "5 millis" }
const journal = { bytes: 0, budget: 1, failing: false, segments: 0 }
const uploads = () => ({ queued: 0, active: 0, limit: 0 })

/** A node whose store is on the protocol server, and its faults as the test wants them. */
const node = (store: GcsServer, deadline: Duration.Duration) =>
  served(Layer.mergeAll(Health.layer, Metrics.layer, Checks.layer), env).pipe(
    Layer.provide([
      layerFor(store.url, { deadline }),
      Layer.mock(Keys, {}),
      Layer.mock(Db, { read: () => Effect.succeed([]) as never }),
      Layer.mock(Recording, { journal: () => journal, captures: () => [], uploads }),
      Layer.succeed(References.MinimumLogLevel, "None")
    ])
  )

const ready = Effect.gen(function* () {
  const response = yield* HttpClient.get("/health/ready")
  return { status: response.status, text: yield* response.text }
})

const until = (found: RegExp) => Effect.repeat(ready, { until: ({ text }) => found.test(text), times: 2_000 })

/** The gauge follows the probe, and readiness is answered before the first probe has ended. */
const untilGauge = (value: 0 | 1) =>
  Effect.flatMap(HttpClient.get("/metrics"), ({ text }) => text).pipe(
    Effect.repeat({ until: (text) => text.includes(`spillway_storage_up ${value}`), times: 2_000 }),
    Effect.map((text) => assert.include(text, `spillway_storage_up ${value}`))
  )

const using = <E, R>(test: (store: GcsServer) => Effect.Effect<void, E, R>, deadline = Duration.millis(100)) =>
  Effect.flatMap(startServer(), (store) => Effect.provide(test(store), node(store, deadline), { local: true }))

it.live("reports an unreachable store with its reason, and keeps accepting audio", () =>
  using(
    Effect.fnUntraced(function* (store) {
      assert.deepStrictEqual(yield* until(/^\{"status":"ready"\}$/), { status: 200, text: '{"status":"ready"}' })
      yield* untilGauge(1)
      yield* Effect.promise(() => store.stop())
      const { status, text } = yield* until(/ECONNREFUSED/)
      assert.strictEqual(status, 200)
      const { degraded, ...rest } = JSON.parse(text)
      assert.deepStrictEqual(rest, { status: "ready" })
      assert.deepStrictEqual(
        degraded.map(({ name }: { readonly name: string }) => name),
        ["storage"]
      )
      assert.include(degraded[0].reason, bucket)
      yield* untilGauge(0)
    })
  )
)

it.live("reports a silent store after the check's timeout, and reports recovery when it answers", () =>
  using(
    Effect.fnUntraced(function* (store) {
      yield* until(/"ready"/)
      store.faults.add({ times: 1_000, fault: { kind: "stall" } })
      const { status, text } = yield* until(/degraded/)
      assert.deepStrictEqual(
        [status, JSON.parse(text).degraded],
        [200, [{ name: "storage", reason: `The store ${bucket} does not respond.` }]]
      )
      store.faults.clear()
      assert.strictEqual((yield* until(/^\{"status":"ready"\}$/)).status, 200)
    }),
    Duration.seconds(30)
  )
)

for (const [what, status] of [
  ["takes no credentials", 401],
  ["gives no permission", 403],
  ["has no bucket", 404]
] as const) {
  it.live(`makes the node unready when the store ${what}`, () =>
    using(
      Effect.fnUntraced(function* (store) {
        store.faults.add({ times: 100_000, fault: { kind: "status", status } })
        const found = yield* until(/unavailable/)
        assert.strictEqual(found.status, 503)
        assert.match(found.text, /"failing":\[\{"name":"storage","reason":"[^"]+\(\d+\)"\}\]/)
      })
    )
  )
}
