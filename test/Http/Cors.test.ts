/** Requests of pages of other origins. */
import { assert, it, layer } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { NetAddress } from "effect/net"
import { Keys } from "../../src/Auth/Keys.ts"
import { ResponseBody } from "../../src/Http.ts"
import { HttpConfig } from "../../src/Http/HttpConfig.ts"
import { Problem } from "../../src/Http/Problem.ts"
import * as Settings from "../../src/Settings.ts"
import { exchange } from "../support/RawHttp.ts"
import { environment, listening, served } from "./support/Served.ts"

const bytes = new Uint8Array(1_000)

const routes = Layer.mergeAll(
  HttpRouter.add("GET", "/json", HttpServerResponse.jsonUnsafe({})),
  HttpRouter.add("POST", "/json", HttpServerResponse.empty({ status: 204 })),
  HttpRouter.add("GET", "/varied", HttpServerResponse.text("", { headers: { vary: "accept-encoding, origin" } })),
  HttpRouter.add("GET", "/stream", HttpServerResponse.stream(Stream.make(bytes), { contentLength: bytes.length })),
  HttpRouter.add("*", "/objects/*", HttpServerResponse.text("object")),
  HttpRouter.add("GET", "/audio", (request) =>
    ResponseBody.send(
      request,
      { status: 206, headers: { "content-range": "bytes 0-999/2000" }, length: bytes.length },
      { first: [bytes], next: Effect.succeed(undefined), onSent: () => {} }
    )
  ),
  ...[
    Problem.unauthorized("No."),
    Problem.notFound("No."),
    Problem.rangeNotSatisfiable(10),
    Problem.unavailable("busy", "Busy", "Later.")
  ].map((problem) => HttpRouter.add("GET", `/problems/${problem.status}`, Effect.fail(problem)))
)

const app = "https://app.example.org"
const allowed = [app, "capacitor://localhost"]
const settings = { SPILLWAY_CORS_ORIGINS: allowed.join(",") }

const ask = Effect.fnUntraced(function* (method: string, path: string, headers: Record<string, string> = {}) {
  const { address } = yield* HttpServer.HttpServer
  const port = NetAddress.isInetAddress(address) ? address.port : 0
  const lines = Object.entries({ host: "x", connection: "close", ...headers }).map(
    ([name, value]) => `${name}: ${value}`
  )
  return yield* Effect.promise(() => exchange(port, `${[`${method} ${path} HTTP/1.1`, ...lines].join("\n")}\n\n`))
})

/** The headers for other origins. */
const corsOf = (headers: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => name.startsWith("access-control-")))

const exposed =
  "Content-Range, Accept-Ranges, ETag, Content-Length, Content-Disposition, Spillway-Lost-Seconds, Retry-After"

const paths: ReadonlyArray<readonly [string, number]> = [
  ["/json", 200],
  ["/varied", 200],
  ["/stream", 200],
  ["/audio", 206],
  ["/objects/a", 200],
  ["/problems/401", 401],
  ["/problems/404", 404],
  ["/problems/416", 416],
  ["/problems/503", 503],
  ["/none", 404]
]

const keys = Layer.mock(Keys, {})

layer(served(routes, settings).pipe(Layer.provide(keys)))("with origins", (it) => {
  it.effect("lets pages of these origins read every response, streams and errors included", () =>
    Effect.gen(function* () {
      for (const origin of allowed) {
        for (const [path, status] of paths) {
          const answer = yield* ask("GET", path, { origin })
          assert.deepStrictEqual([answer.status, answer.isWhole], [status, true], path)
          assert.deepStrictEqual(
            corsOf(answer.headers),
            { "access-control-allow-origin": origin, "access-control-expose-headers": exposed },
            path
          )
        }
      }
    })
  )

  it.effect("lets no other page read a response, and tells caches that responses differ", () =>
    Effect.gen(function* () {
      const others = ["https://app.example.org.evil.net", "https://evil.net", "null", "https://app.example.org:8443"]
      for (const origin of ["", ...others, app]) {
        for (const [path] of paths) {
          const answer = yield* ask("GET", path, origin === "" ? {} : { origin })
          assert.match(answer.headers["vary"] ?? "", /\borigin\b/i, path)
          if (origin !== app) assert.deepStrictEqual(corsOf(answer.headers), {})
        }
      }
    })
  )

  it.effect("answers preflights with the methods of the path", () =>
    Effect.gen(function* () {
      const asks = { origin: app, "access-control-request-method": "GET" }
      const cases = {
        "/json": "GET, POST, HEAD",
        "/audio": "GET, HEAD",
        "/objects/a?expires=1": "GET, POST, PUT, PATCH, DELETE, HEAD"
      }
      for (const [path, methods] of Object.entries(cases)) {
        const { body, headers, status } = yield* ask("OPTIONS", path, asks)
        assert.deepStrictEqual([status, body.length], [204, 0], path)
        assert.deepStrictEqual(corsOf(headers), {
          "access-control-allow-methods": methods,
          "access-control-allow-origin": app,
          "access-control-expose-headers": exposed,
          "access-control-allow-headers": "Authorization, Range, If-Range, If-Match, If-None-Match, Content-Type",
          "access-control-max-age": "7200"
        })
      }
    })
  )

  it.effect("answers no preflight of another origin or for a path that does not exist", () =>
    Effect.gen(function* () {
      const method = { "access-control-request-method": "GET" }
      assert.strictEqual((yield* ask("OPTIONS", "/json", { ...method, origin: "https://evil.net" })).status, 405)
      assert.strictEqual((yield* ask("OPTIONS", "/json", { origin: app })).status, 405)
      assert.strictEqual((yield* ask("OPTIONS", "/none", { ...method, origin: app })).status, 404)
    })
  )
})

layer(served(routes).pipe(Layer.provide(keys)))("without origins", (it) => {
  it.effect("sends no header for other origins, and answers no preflight", () =>
    Effect.gen(function* () {
      const origin = { origin: app }
      for (const [path] of paths) {
        const answer = yield* ask("GET", path, origin)
        assert.deepStrictEqual(corsOf(answer.headers), {}, path)
        if (path !== "/varied") assert.isUndefined(answer.headers["vary"], path)
      }
      const preflight = yield* ask("OPTIONS", "/json", { ...origin, "access-control-request-method": "GET" })
      assert.deepStrictEqual([preflight.status, corsOf(preflight.headers)], [405, {}])
    })
  )
})

it.effect("lets pages read the responses of a node that starts", () =>
  Effect.gen(function* () {
    const answer = yield* ask("GET", "/v1/conversations", { origin: app })
    assert.strictEqual(answer.status, 503)
    assert.strictEqual(answer.headers["access-control-allow-origin"], app)
  }).pipe(Effect.provide(listening.pipe(Layer.provide(environment(settings)))))
)

it.effect("accepts only exact origins, as browsers send them", () =>
  Effect.gen(function* () {
    const mistakes = (text: string) =>
      Effect.provide(Settings.problemsOf([HttpConfig]), environment({ SPILLWAY_CORS_ORIGINS: text }))
    for (const text of [
      "https://a.org",
      "http://localhost:3000",
      "https://a.org,ionic://localhost",
      "https://[::1]:8443"
    ])
      assert.deepStrictEqual(yield* mistakes(text), [], text)
    for (const text of [
      "*",
      "null",
      "a.org",
      "https://a.org/",
      "https://A.org",
      "https://a.org:443",
      "https://*.a.org",
      "https://a.org, https://b.org",
      "https://a.org,",
      "https://user@a.org",
      "file://",
      Array.from({ length: 101 }, (_, at) => `https://${at}.org`).join(",")
    ]) {
      assert.deepStrictEqual(
        (yield* mistakes(text)).map(({ env }) => env),
        ["SPILLWAY_CORS_ORIGINS"],
        text
      )
    }
  })
)
