/** What operators and load balancers read. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Metric, Ref, Schema } from "effect"
import { HttpClient } from "effect/http"
import { Api } from "../../src/Server/Docs/Api.ts"
import * as Docs from "../../src/Server/Docs/DocsHttp.ts"
import * as Health from "../../src/Server/HealthHttp.ts"
import { Keys } from "../../src/Auth/Keys.ts"
import * as Metrics from "../../src/Server/MetricsHttp.ts"
import { Degraded, Readiness } from "../../src/Readiness.ts"
import { served } from "../Http/support/Served.ts"

const routes = Layer.mergeAll(Health.layer, Metrics.layer, Docs.layer(Api))
const server = served(routes, { READY_TIMEOUT: "50 millis" }).pipe(Layer.provide(Layer.mock(Keys, {})))

const get = (path: string) =>
  Effect.gen(function* () {
    const response = yield* HttpClient.get(path)
    return { status: response.status, body: yield* response.json }
  })

layer(server, { excludeTestServices: true })("health", (it) => {
  it.effect("is ready while every check passes, and names failing checks with the reason", () =>
    Effect.gen(function* () {
      const readiness = yield* Readiness
      const broken = yield* Ref.make(false)
      yield* readiness.add("fine", Effect.void)
      yield* readiness.add(
        "disk",
        Effect.flatMap(Ref.get(broken), (is) => (is ? Effect.fail("It is full.") : Effect.void))
      )
      assert.deepStrictEqual(yield* get("/health/ready"), { status: 200, body: { status: "ready" } })
      yield* readiness.add("luxury", Effect.fail(new Degraded({ reason: "It is away." })))
      const degraded = [{ name: "luxury", reason: "It is away." }]
      assert.deepStrictEqual(yield* get("/health/ready"), { status: 200, body: { status: "ready", degraded } })
      yield* Ref.set(broken, true)
      yield* readiness.add("slow", Effect.never)
      yield* readiness.add("buggy", Effect.die(new Error("a bug")))
      const { body, status } = yield* get("/health/ready")
      assert.strictEqual(status, 503)
      assert.deepStrictEqual(body, {
        status: "unavailable",
        failing: [
          { name: "disk", reason: "It is full." },
          { name: "slow", reason: "The check timed out." },
          { name: "buggy", reason: "a bug" }
        ],
        degraded
      })
    })
  )

  it.effect("exports counters of the program and gauges of the process", () =>
    Effect.gen(function* () {
      yield* Metric.update(Metric.counter("test_frames_total"), 3)
      const text = yield* Effect.flatMap(HttpClient.get("/metrics"), (response) => response.text)
      assert.match(text, /^test_frames_total 3$/m)
      for (const name of [
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
        "nodejs_heap_size_used_bytes"
      ]) {
        assert.match(text, new RegExp(`^${name} \\d`, "m"))
      }
      assert.match(text, /^nodejs_eventloop_lag_p99_seconds 0?\.?\d/m)
    })
  )

  it.effect("documents the contract, for machines and for people", () =>
    Effect.gen(function* () {
      const { body } = yield* get("/openapi.json")
      const paths = yield* Schema.decodeUnknownEffect(
        Schema.Struct({
          paths: Schema.Record(
            Schema.String,
            Schema.Record(Schema.String, Schema.Struct({ responses: Schema.Record(Schema.String, Schema.Unknown) }))
          )
        })
      )(body)
      assert.includeMembers(Object.keys(paths.paths["/v1/keys"]?.["post"]?.responses ?? {}), [
        "201",
        "400",
        "401",
        "403",
        "409",
        "503"
      ])
      assert.includeMembers(Object.keys(paths.paths["/v1/trigger/listen"]?.["get"]?.responses ?? {}), ["101", "426"])
      const { components } = yield* Schema.decodeUnknownEffect(
        Schema.Struct({ components: Schema.Struct({ securitySchemes: Schema.Unknown }) })
      )(body)
      assert.deepStrictEqual(components.securitySchemes, { bearer: { type: "http", scheme: "bearer" } })
      const docs = yield* HttpClient.get("/docs")
      assert.match(docs.headers["content-type"] ?? "", /text\/html/)
      const text = yield* docs.text
      for (const option of [
        '"withDefaultFonts":false',
        '"showDeveloperTools":"never"',
        '"authentication":{"preferredSecurityScheme":"bearer"}'
      ])
        assert.include(text, option)
    })
  )

  it.effect("is unready from the moment the drain begins, and stays live", () =>
    Effect.gen(function* () {
      const readiness = yield* Readiness
      yield* readiness.drain
      yield* readiness.draining
      const { body, status } = yield* get("/health/ready")
      assert.deepStrictEqual(
        [status, body],
        [503, { status: "unavailable", failing: [{ name: "drain", reason: "The node is stopping." }] }]
      )
      assert.strictEqual((yield* get("/health/live")).status, 200)
    })
  )
})
